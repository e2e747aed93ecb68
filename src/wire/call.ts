/** One call on its HTTP/2 stream. */

import type { ServerHttp2Stream } from 'node:http2';
import type { Peer } from '../attest/types.ts';
import { type Bytes, joinBytes } from '../base/bytes.ts';
import type { Clock, Deadline } from '../base/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { answer, respond } from './answer.ts';
import { decompress } from './compression.ts';
import type { MessageBuffers } from './message-buffers.ts';
import { HEAD_BYTES, type Holdings, MessageReader, type Sink } from './message-reader.ts';
import type { RequestHead } from './request-head.ts';
import { statusHeaders, statusOf } from './status.ts';
import {
  type Message,
  type Method,
  Status,
  type StatusCode,
  StatusError,
  type Stream,
  type StreamHandler,
} from './types.ts';

/** What a call needs of the connection that it came on. */
export interface Caller extends Holdings {
  readonly peer: Peer;
  readonly clock: Clock;
  readonly log: Log;
  readonly buffers: MessageBuffers;
  /** Counts a request. @throws StatusError when it is one too many */
  request(): void;
}

export class Call implements Stream, Sink {
  readonly peer: Peer;
  readonly #caller: Caller;
  readonly #head: RequestHead;
  readonly #stream: ServerHttp2Stream;
  readonly #reader: MessageReader;
  #handler: StreamHandler | undefined;
  #deadline: Deadline | undefined;
  /** Of a unary call: its one message has come. */
  #asked = false;
  /** The status is given, or nobody waits for it any more. */
  #over = false;
  /** The client doesn't read, so that it isn't listened to. */
  #stalled = false;

  constructor(stream: ServerHttp2Stream, head: RequestHead, caller: Caller) {
    this.peer = caller.peer;
    this.#caller = caller;
    this.#head = head;
    this.#stream = stream;
    this.#reader = new MessageReader(caller.buffers, caller);
  }

  get method(): Method {
    return this.#head.method;
  }

  /** Begins to listen. */
  serve(): void {
    const { method, timeout } = this.#head;
    if (timeout !== undefined) {
      const passed = () => this.end(Status.DEADLINE_EXCEEDED, 'the time that the client gave (grpc-timeout) is over');
      this.#deadline = this.#caller.clock.after(timeout, passed);
    }
    this.#attempt(() => {
      if (method.kind === 'stream') this.#handler = method.open(this);
    });
    this.#stream.on('data', (chunk: Buffer) => this.#data(chunk));
    this.#stream.on('end', () => this.#end());
  }

  send(message: Message): void {
    if (this.#over || this.#stream.closed) return;
    const framed = frame(typeof message === 'string' || message instanceof Uint8Array ? [message] : message);
    if (!this.#stream.headersSent) respond(this.#stream);
    if (this.#stream.write(framed)) return;
    // Who doesn't read isn't listened to either, or what it asks for would pile up.
    if (!this.#stalled) this.#stall();
  }

  end(status: StatusCode, details: string): void {
    if (this.#over) return;
    const headers = statusHeaders(status, details);
    this.#settle();
    if (!this.#stream.closed) answer(this.#stream, headers);
    // Later, since it may be the handler itself that ends the stream: it is told when it has returned.
    if (this.method.kind === 'stream') queueMicrotask(() => this.#tellClosed());
  }

  /** A message of the client's. @throws StatusError */
  take(message: Buffer, compressed: boolean): boolean {
    const { encoding, method } = this.#head;
    this.#caller.request();
    const bytes = compressed ? decompress(message, encoding) : message;
    if (method.kind === 'stream') this.#handler?.message(bytes);
    else this.#answer(method, bytes);
    return !this.#over && !this.#stalled;
  }

  /** The stream is gone, answered or not. */
  gone(): void {
    if (this.#over) return;
    this.#settle();
    this.#tellClosed();
  }

  #settle(): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#reader.discard();
  }

  #tellClosed(): void {
    this.#attempt(() => this.#handler?.closed());
  }

  #data(chunk: Buffer): void {
    if (this.#over || this.#stream.aborted) return;
    this.#attempt(() => {
      const used = this.#reader.read(chunk, this);
      if (this.#stalled && !this.#over && used < chunk.length) this.#stream.unshift(chunk.subarray(used));
    });
  }

  /** At once: that nothing follows is looked at while the answer is made. */
  #answer(method: Extract<Method, { kind: 'unary' }>, request: Buffer): void {
    if (this.#asked) throw new StatusError(Status.UNIMPLEMENTED, 'the method takes one message, not several');
    this.#asked = true;
    method.call(this.peer, request).then(
      (response) => {
        this.send(response);
        this.end(Status.OK, '');
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #end(): void {
    // A client may reset a stream without a reason; what waits to be sent then would keep it.
    if (this.#stream.closed) this.#stream.destroy();
    if (this.#over || this.#stream.closed) return;
    this.#attempt(() => {
      if (this.#reader.unfinished) throw new StatusError(Status.INTERNAL, 'the request ends within a message');
      if (this.method.kind === 'stream') this.#handler?.halfClose();
      else if (!this.#asked) throw new StatusError(Status.UNIMPLEMENTED, 'the method takes one message, not none');
    });
  }

  #stall(): void {
    const stream = this.#stream;
    const goOn = () => {
      this.#stalled = false;
      stream.off('drain', goOn).off('aborted', goOn).resume();
    };
    this.#stalled = true;
    stream.on('drain', goOn).on('aborted', goOn).pause();
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const { status, message } = statusOf(error, this.method.path, this.#caller);
    this.end(status, message);
  }
}

/** A message that is not compressed, length first. */
function frame(parts: readonly Bytes[]): Buffer {
  const framed = joinBytes(parts, HEAD_BYTES);
  framed[0] = 0;
  framed.writeUInt32BE(framed.length - HEAD_BYTES, 1);
  return framed;
}
