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
  type WirePeer,
} from './types.ts';

/** A call that is being opened. */
export interface OpeningCall<P extends WirePeer> extends Stream<P> {
  /** Ends the call with the status of an error. */
  fail(error: unknown): void;
}

/** @throws whatever the method throws */
export function openCall<P extends WirePeer>(
  method: Method<P>,
  call: OpeningCall<P>,
  metadata: Metadata,
): StreamHandler {
  switch (method.kind) {
    case 'bidirectional':
      return method.open(call, metadata);
    case 'server-stream':
      return new SingleRequest(call, metadata, (...request) => method.open(call, ...request));
    case 'unary':
      return new SingleRequest(call, metadata, (...request) => {
        const answer = (response: Message) => {
          call.send(response);
          call.end(Status.OK, '');
        };
        method.call(call, ...request).then(answer, (error: unknown) => call.fail(error));
        return undefined;
      });
  }
}

type Start = (request: Uint8Array, metadata: Metadata) => StreamEnd | undefined;

/**
 * Expects one message and then the end of the request, which starts the method.
 * @see https://github.com/grpc/grpc/blob/master/doc/statuscodes.md "Request cardinality violation"
 */
class SingleRequest implements StreamHandler {
  readonly #call: Stream<WirePeer>;
  readonly #start: Start;
  /** Kept, and charged, until the method starts. */
  #metadata: Metadata | undefined;
  #request: Uint8Array | undefined;
  #started: StreamEnd | undefined;

  constructor(call: Stream<WirePeer>, metadata: Metadata, start: Start) {
    call.hold(metadata.size);
    this.#call = call;
    this.#metadata = metadata;
    this.#start = start;
  }

  message(bytes: Uint8Array): void {
    if (this.#request !== undefined) throw wrongNumber('several came');
    this.#call.hold(bytes.length);
    this.#request = bytes;
  }

  halfClose(): void {
    const [request, metadata] = [this.#request, this.#metadata];
    if (request === undefined || metadata === undefined) throw wrongNumber('none came');
    this.#request = undefined;
    this.#metadata = undefined;
    this.#call.release(request.length + metadata.size);
    this.#started = this.#start(request, metadata);
  }

  closed(): void {
    this.#request = undefined;
    this.#metadata = undefined;
    this.#started?.closed();
  }
}

function wrongNumber(problem: string): StatusError {
  return new StatusError(Status.UNIMPLEMENTED, `the method takes exactly one message; ${problem}`);
}
