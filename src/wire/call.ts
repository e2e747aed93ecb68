/** One gRPC call on its HTTP/2 stream. */

import type { ServerHttp2Stream } from 'node:http2';
import type { Clock, Deadline } from '../base/index.ts';
import { LimitError, type MemoryBudget, type MemoryHolder, type Owner } from '../limits/index.ts';
import type { LimitName, Log } from '../telemetry/index.ts';
import { answer, respond } from './answer.ts';
import type { MessageBuffers } from './message-buffers.ts';
import { HEAD_BYTES, type Holdings, MessageReader, type Sink } from './message-reader.ts';
import { type OpeningCall, openCall } from './opening.ts';
import type { RequestHead } from './request-head.ts';
import { statusHeaders, statusOf } from './status.ts';
import {
  type Message,
  type Metadata,
  type Method,
  Status,
  type StatusCode,
  type StatusDetail,
  StatusError,
  type StreamConnection,
  type StreamHandler,
  type WirePeer,
} from './types.ts';

/** The services that a call uses of its connection. */
export interface CallConnection<P extends WirePeer> extends StreamConnection {
  readonly peer: P;
  readonly clock: Clock;
  readonly log: Log;
  readonly buffers: MessageBuffers;
  readonly memory: MemoryBudget;
  /** Counts a request. @throws LimitError if the owner has sent too many */
  request(): void;
  /** Counts that a limit was reached. */
  limitHit(limit: LimitName): void;
  /**
   * Runs the work now or in its owner's next turn; until then the connection is not read from. The work must not throw.
   */
  inTurn(work: () => void): void;
}

/** Logs the limit that refused or ended a call. */
export function tellLimit(log: Log, reason: string): void {
  log.warn({ reason }, 'call refused or ended by a limit');
}

/** Memory of a call without names and messages, in bytes: its objects and those of its HTTP/2 stream. */
export const CALL_BYTES = 12 * 1024;
/** Maximum number of bytes that arrive on a stream while it is not read: its HTTP/2 flow-control window. */
const WINDOW_BYTES = 64 * 1024;

export class Http2Call<P extends WirePeer> implements OpeningCall<P>, Sink, Holdings, MemoryHolder {
  readonly peer: P;
  readonly method: Method<P>;
  readonly #caller: CallConnection<P>;
  readonly #stream: ServerHttp2Stream;
  readonly #reader: MessageReader;
  #handler: StreamHandler | undefined;
  #deadline: Deadline | undefined;
  /** The status was sent, or the stream was closed before. */
  #over = false;
  /** Back-pressure: the client does not read its answers, so its requests are not read. */
  #stalled = false;
  /**
   * A chunk waits for its owner's turn. Reading is paused meanwhile, because only processing a chunk shows whether the
   * client still reads its answers.
   */
  #waits = false;
  /** The unread part of a chunk, kept when the call stalled. */
  #kept: Buffer | undefined;
  /** The request has ended; a waiting or kept chunk comes before the end. */
  #ended = false;
  /** Reject the promises of {@link untilEnd} that are pending. */
  #pending: Set<() => void> | undefined;

  constructor(stream: ServerHttp2Stream, method: Method<P>, caller: CallConnection<P>) {
    this.peer = caller.peer;
    this.method = method;
    this.#caller = caller;
    this.#stream = stream;
    const maxBytes = method.kind === 'bidirectional' ? method.maxMessageBytes : undefined;
    this.#reader = new MessageReader(caller.buffers, this, maxBytes);
  }

  get owner(): Owner {
    return this.peer.owner;
  }

  get connection(): StreamConnection {
    return this.#caller;
  }

  hold(bytes: number): void {
    // What is charged after gone() would never be released.
    if (this.#over) throw cancelled();
    this.#caller.memory.hold(this, bytes);
  }

  release(bytes: number): void {
    this.#caller.memory.release(this, bytes);
  }

  untilEnd<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = () => reject(cancelled());
      this.#pending ??= new Set();
      const pending = this.#pending;
      pending.add(end);
      work.then(resolve, reject).finally(() => pending.delete(end));
      if (this.#over) end();
    });
  }

  /** Ends the call to free memory: the server's budget is exhausted, and this owner uses most. */
  shed(reason: string): void {
    tellLimit(this.#caller.log, reason);
    this.end(Status.RESOURCE_EXHAUSTED, reason);
    // A client that does not read would not read the status either, and the unread answers would stay in memory.
    if (this.#stalled) this.#stream.destroy();
    this.#caller.memory.releaseAll(this);
  }

  /** Opens the call and starts to read the request. */
  serve({ timeout, metadata }: Pick<RequestHead<P>, 'timeout' | 'metadata'>): void {
    if (timeout !== undefined) {
      const passed = () => this.end(Status.DEADLINE_EXCEEDED, 'the time limit of the client (grpc-timeout) has passed');
      this.#deadline = this.#caller.clock.after(timeout, passed);
    }
    this.#open(metadata);
    this.#stream.on('data', (chunk: Buffer) => this.#arrived(chunk));
    this.#stream.on('end', () => {
      this.#ended = true;
      this.#goOn();
    });
  }

  /** A function of its own, so that what listens to the stream does not keep the metadata alive. */
  #open(metadata: Metadata): void {
    this.#attempt(() => {
      this.#handler = openCall(this.method, this, metadata);
    });
  }

  send(message: Message, taken?: () => void): void {
    if (this.#over || this.#stream.closed) return;
    const framed = frame(message instanceof Uint8Array ? [message] : message);
    try {
      this.hold(framed.length);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!this.#stream.headersSent) respond(this.#stream);
    // The callback runs once the bytes are in the socket or are discarded.
    const written = () => {
      this.release(framed.length);
      taken?.();
    };
    if (this.#stream.write(framed, written)) return;
    // While the client does not read its answers, its requests are not read, since their answers would pile up.
    if (!this.#stalled) this.#stall();
  }

  end(status: StatusCode, message: string, details: readonly StatusDetail[] = []): void {
    if (this.#over) return;
    const headers = statusHeaders(status, message, details);
    this.#settle();
    if (!this.#stream.closed) answer(this.#stream, headers);
    // The handler itself may be ending the stream, so it is told after it has returned.
    queueMicrotask(() => this.#tellClosed());
  }

  fail(error: unknown): void {
    if (error instanceof LimitError) tellLimit(this.#caller.log, error.message);
    if (error instanceof StatusError && error.limit !== undefined) this.#caller.limitHit(error.limit);
    const { status, message, details } = statusOf(error, this.method.path, this.#caller);
    this.end(status, message, details);
  }

  /** Handles one message of the client. @throws StatusError, LimitError */
  take(message: Buffer): boolean {
    this.#caller.request();
    const isBorrowed = this.method.kind === 'bidirectional' && this.method.borrowsMessages === true;
    this.#handler?.message(isBorrowed ? message : Buffer.from(message));
    return !this.#over && !this.#stalled;
  }

  /** The HTTP/2 stream was closed, answered or not. */
  gone(): void {
    this.#caller.memory.releaseAll(this);
    if (this.#over) return;
    this.#settle();
    this.#tellClosed();
  }

  #settle(): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#kept = undefined;
    this.#reader.discard();
  }

  #tellClosed(): void {
    this.#attempt(() => this.#handler?.closed());
    // The handler must know first, so that it does not take these rejections for failures of its work.
    const pending = this.#pending;
    this.#pending = undefined;
    for (const end of pending ?? []) end();
  }

  #arrived(chunk: Buffer): void {
    this.#waits = true;
    this.#caller.inTurn(() => {
      this.#waits = false;
      this.#data(chunk);
      this.#goOn();
    });
    if (this.#waits) this.#stream.pause();
  }

  #data(chunk: Buffer): void {
    if (this.#over || this.#stream.aborted) return;
    if (this.#stalled) {
      this.#kept = chunk;
      return;
    }
    this.#attempt(() => {
      const used = this.#reader.read(chunk, this);
      if (this.#stalled && !this.#over && used < chunk.length) this.#kept = chunk.subarray(used);
    });
  }

  /** Continues with the kept chunk, the end or more input, unless the call is stalled or waits for its turn. */
  #goOn(): void {
    if (this.#stalled || this.#waits) return;
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept !== undefined) {
      this.#arrived(kept);
    } else if (this.#ended) {
      this.#ended = false;
      this.#end();
    } else if (this.#stream.isPaused()) {
      this.#stream.resume();
    }
  }

  #end(): void {
    // After a reset without an error code Node would keep the stream for the sake of unsent data.
    if (this.#stream.closed) this.#stream.destroy();
    if (this.#over || this.#stream.closed) return;
    this.#attempt(() => {
      if (this.#reader.unfinished) throw new StatusError(Status.INTERNAL, 'the request ended within a message');
      this.#handler?.halfClose();
    });
  }

  #stall(): void {
    const stream = this.#stream;
    const goOn = () => {
      this.#stalled = false;
      this.release(WINDOW_BYTES);
      stream.off('drain', goOn).off('aborted', goOn);
      this.#goOn();
    };
    this.#attempt(() => {
      this.hold(WINDOW_BYTES);
      this.#stalled = true;
      stream.on('drain', goOn).on('aborted', goOn).pause();
    });
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }
}

function cancelled(): StatusError {
  return new StatusError(Status.CANCELLED, 'the call has ended');
}

/** Frames an uncompressed message: flag, length, bytes. */
function frame(parts: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(
    parts.reduce((length, part) => length + part.length, 0),
    1,
  );
  return Buffer.concat([head, ...parts]);
}
