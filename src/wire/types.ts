/** The interface of the gRPC server: methods with undecoded messages, the metadata of a call, and its peer. */

import type { Peer } from '../attest/index.ts';
import type { Owner } from '../limits/index.ts';
import type { LimitName } from '../telemetry/index.ts';

/** The status codes of gRPC. @see https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type StatusCode = (typeof Status)[keyof typeof Status];

/** An encoded message that explains a status to programs. @see google/rpc/error_details.proto */
export interface StatusDetail {
  /** Such as `type.googleapis.com/google.rpc.ErrorInfo`. */
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Ends a call with a status; message and details are what the client sees. */
interface StatusErrorOptions extends ErrorOptions {
  readonly details?: readonly StatusDetail[];
  readonly limit?: LimitName;
}

export class StatusError extends Error {
  readonly status: StatusCode;
  readonly details: readonly StatusDetail[];
  /** The limit that was reached, if it is counted. */
  readonly limit: LimitName | undefined;
  constructor(status: StatusCode, message: string, { details = [], limit, ...options }: StatusErrorOptions = {}) {
    super(message, options);
    this.name = 'StatusError';
    this.status = status;
    this.details = details;
    this.limit = limit;
  }
}

/** The bytes of a message, whole or in parts. */
export type Message = Uint8Array | readonly Uint8Array[];

/** The client of a connection, as far as the wire knows it: a {@link Peer} on the pipe, or an agent on another host. */
export interface WirePeer {
  /** For the log. */
  readonly id: string;
  /** What its use is charged to. */
  readonly owner: Owner;
  readonly gone: boolean;
  /** Calls the listener once, when {@link gone} becomes true, or in the next tick if it is. */
  onGone(listener: () => void): void;
  /** Closes the connection. */
  close(): void;
}

/** A call: its peer and its memory account. */
export interface Call<P extends WirePeer = Peer> {
  readonly peer: P;
  /**
   * Charges memory for the call to its owner, in bytes. Unreleased memory is released when the call's HTTP/2 stream
   * closes.
   * @throws LimitError if the owner would exceed its limit; StatusError CANCELLED if the call has ended. Then nothing
   * is
   * charged.
   */
  hold(bytes: number): void;
  release(bytes: number): void;
  /**
   * Waits for the work as long as the call lasts. Every wait of a handler goes through it, so that nothing of an ended
   * call
   * stays in memory, and nothing more is done for it.
   * @throws StatusError CANCELLED when the call ends first; what the work throws
   */
  untilEnd<T>(work: Promise<T>): Promise<T>;
}

/** The metadata of a request: its headers, without those that HTTP/2 and gRPC use themselves. */
export interface Metadata {
  /** The size of all headers of the request, in bytes as HTTP/2 counts them. */
  readonly size: number;
  /** The names, in lower case, each once. */
  names(): string[];
  /**
   * The values of a name that does not end in `-bin`, in the order in which they were sent.
   * @throws StatusError INTERNAL if a value is not printable ASCII
   */
  texts(name: string): string[];
  /**
   * The decoded values of a name that ends in `-bin`, in the order in which they were sent.
   * @throws StatusError INTERNAL if a value is not base64
   */
  bytes(name: string): Uint8Array[];
}

/** The connection of a stream. */
export interface StreamConnection {
  /**
   * Reads no further requests from the connection until {@link resume} was called as often. Messages are still sent.
   * Meanwhile
   * it goes unnoticed that the client has closed the connection, but not that its process has ended.
   */
  defer(): void;
  resume(): void;
}

/** The server's side of a stream of messages. */
export interface Stream<P extends WirePeer = Peer> extends Call<P> {
  /** The same object for all streams of a connection. */
  readonly connection: StreamConnection;
  /**
   * Queues one message, which it copies. A no-op once the stream has ended.
   * @param taken called once the socket has taken the message, or the stream was closed before
   */
  send(message: Message, taken?: () => void): void;
  /** Ends the stream with a status. A no-op once it has ended. */
  end(status: StatusCode, message: string, details?: readonly StatusDetail[]): void;
}

/** The end of a stream. */
export interface StreamEnd {
  /** Called exactly once, last: nothing can be sent any more. */
  closed(): void;
}

/** The events of a bidirectional stream. */
export interface StreamHandler extends StreamEnd {
  /**
   * One undecoded request message; its bytes are the handler's own, unless the method {@link BidirectionalMethod
   * borrows} them.
   */
  message(bytes: Uint8Array): void;
  /** The client will send no more. */
  halfClose(): void;
}

/**
 * A gRPC method by its full path, `/package.Service/Method`, of one of three kinds: one message is answered by one, one
 * is
 * answered by a stream, or both sides send streams. For the first two kinds, the wire refuses calls with no or several
 * request messages. What a method throws becomes the call's status.
 *
 * The metadata keeps all headers of the request in memory, so a long stream keeps only what it needs of it.
 */
export type Method<P extends WirePeer = Peer> = UnaryMethod<P> | ServerStreamMethod<P> | BidirectionalMethod<P>;

export interface UnaryMethod<P extends WirePeer = Peer> {
  readonly path: string;
  readonly kind: 'unary';
  call(call: Call<P>, request: Uint8Array, metadata: Metadata): Promise<Message>;
}

export interface ServerStreamMethod<P extends WirePeer = Peer> {
  readonly path: string;
  readonly kind: 'server-stream';
  open(stream: Stream<P>, request: Uint8Array, metadata: Metadata): StreamEnd;
}

export interface BidirectionalMethod<P extends WirePeer = Peer> {
  readonly path: string;
  readonly kind: 'bidirectional';
  /**
   * The handler reads each message before `message` returns and keeps none of its bytes: they are overwritten by
   * another
   * call's message ([why](../../docs/decisions/borrowed-messages.md)).
   */
  readonly borrowsMessages?: true;
  /** Limit of a message, in bytes; 1 MiB by default. */
  readonly maxMessageBytes?: number;
  open(stream: Stream<P>, metadata: Metadata): StreamHandler;
}
