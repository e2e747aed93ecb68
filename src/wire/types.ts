/** The interface of the gRPC server: methods with undecoded messages, and the peer of each call. */

import type { Peer } from '../attest/types.ts';
import type { Bytes } from '../base/bytes.ts';

/** gRPC status codes that Sidekey uses. @see https://grpc.io/docs/guides/status-codes/ */
export const Status = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
export type StatusCode = (typeof Status)[keyof typeof Status];

/** Ends a call with a status; the message is what the client sees. */
export class StatusError extends Error {
  readonly status: StatusCode;
  constructor(status: StatusCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StatusError';
    this.status = status;
  }
}

/** The bytes of a message, whole or in parts. */
export type Message = Bytes | readonly Bytes[];

/** A call: its peer and its memory account. */
export interface Charged {
  readonly peer: Peer;
  /**
   * Charges memory for the call to its owner, in bytes. Unreleased memory is released when the call's HTTP/2 stream
   * closes. @throws LimitError if the owner would exceed its limit; then nothing is charged
   */
  hold(bytes: number): void;
  release(bytes: number): void;
}

/** The server's side of a bidirectional stream. */
export interface Stream extends Charged {
  /** Queues one message, which it copies. A no-op once the stream has ended. */
  send(message: Message): void;
  /** Ends the stream with a status. A no-op once it has ended. */
  end(status: StatusCode, details: string): void;
}

/** The events of a stream. */
export interface StreamHandler {
  /** One undecoded request message. The bytes are valid only until the handler returns: the buffer is reused. */
  message(bytes: Uint8Array): void;
  /** The client will send no more. */
  halfClose(): void;
  /** Called exactly once, last: nothing can be sent any more. */
  closed(): void;
}

/**
 * One gRPC method by its full path, `/package.Service/Method`. The bytes of a unary request are valid only until `call`
 * returns its promise.
 */
export type Method =
  | { readonly path: string; readonly kind: 'stream'; open(stream: Stream): StreamHandler }
  | { readonly path: string; readonly kind: 'unary'; call(charged: Charged, request: Uint8Array): Promise<Uint8Array> };
