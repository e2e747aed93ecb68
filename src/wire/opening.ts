/** Opens a call by the kind of its method; every kind is served as a stream of messages from the client. */

import {
  type Message,
  type Metadata,
  type Method,
  Status,
  StatusError,
  type Stream,
  type StreamEnd,
  type StreamHandler,
} from './types.ts';

/** A call that is being opened. */
export interface OpeningCall extends Stream {
  /** Ends the call with the status of an error. */
  fail(error: unknown): void;
}

/** @throws whatever the method throws */
export function openCall(method: Method, call: OpeningCall, metadata: Metadata): StreamHandler {
  switch (method.kind) {
    case 'bidirectional':
      return method.open(call, metadata);
    case 'server-stream':
      return new SingleRequest(call, (request) => method.open(call, request, metadata));
    case 'unary':
      return new SingleRequest(call, (request) => {
        const answer = (response: Message) => {
          call.send(response);
          call.end(Status.OK, '');
        };
        method.call(call, request, metadata).then(answer, (error: unknown) => call.fail(error));
        return undefined;
      });
  }
}

/**
 * Expects one message and then the end of the request, which starts the method.
 * @see https://github.com/grpc/grpc/blob/master/doc/statuscodes.md "Request cardinality violation"
 */
class SingleRequest implements StreamHandler {
  readonly #call: Stream;
  readonly #start: (request: Uint8Array) => StreamEnd | undefined;
  #request: Uint8Array | undefined;
  #started: StreamEnd | undefined;

  constructor(call: Stream, start: (request: Uint8Array) => StreamEnd | undefined) {
    this.#call = call;
    this.#start = start;
  }

  message(bytes: Uint8Array): void {
    if (this.#request !== undefined) throw wrongNumber('several came');
    this.#call.hold(bytes.length);
    this.#request = bytes;
  }

  halfClose(): void {
    const request = this.#request;
    if (request === undefined) throw wrongNumber('none came');
    this.#request = undefined;
    this.#call.release(request.length);
    this.#started = this.#start(request);
  }

  closed(): void {
    this.#started?.closed();
  }
}

function wrongNumber(problem: string): StatusError {
  return new StatusError(Status.UNIMPLEMENTED, `the method takes exactly one message; ${problem}`);
}
