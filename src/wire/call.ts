/** One call on its HTTP/2 stream. */

import http2, { type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Peer } from '../attest/types.ts';
import type { Clock, Deadline } from '../base/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { decompress } from './compression.ts';
import type { MessageBuffers } from './message-buffers.ts';
import { HEAD_BYTES, type Holdings, MessageReader } from './message-reader.ts';
import type { Refusal, RequestHead } from './request-head.ts';
import { statusHeaders, statusOf } from './status.ts';
import { type Method, Status, type StatusCode, StatusError, type Stream, type StreamHandler } from './types.ts';

/** What a call needs of the connection that it came on. */
export interface Caller extends Holdings {
  readonly peer: Peer;
  readonly clock: Clock;
  readonly log: Log;
  readonly buffers: MessageBuffers;
  /** Counts a request. @throws StatusError when it is one too many */
  request(): void;
}

const OK_HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
/** Longer deadlines are the client's alone to keep: ours would only spare us work. */
const LONGEST_DEADLINE_MS = 24 * 3_600_000;

export class Call implements Stream {
  readonly peer: Peer;
  readonly #caller: Caller;
  readonly #head: RequestHead;
  readonly #stream: ServerHttp2Stream;
  readonly #reader: MessageReader;
  readonly #deliver = (compressed: boolean, message: Buffer) => this.#message(compressed, message);
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
    if (timeout !== undefined && timeout <= LONGEST_DEADLINE_MS) {
      const passed = () => this.end(Status.DEADLINE_EXCEEDED, 'the time that the client gave (grpc-timeout) is over');
      this.#deadline = this.#caller.clock.after(timeout, passed);
    }
    this.#attempt(() => {
      if (method.kind === 'stream') this.#handler = method.open(this);
    });
    this.#stream.on('data', (chunk: Buffer) => this.#data(chunk));
    this.#stream.on('end', () => this.#end());
  }

  send(message: Uint8Array): void {
    if (this.#over || this.#stream.destroyed) return;
    const framed = Buffer.allocUnsafe(HEAD_BYTES + message.length);
    framed[0] = 0;
    framed.writeUInt32BE(message.length, 1);
    framed.set(message, HEAD_BYTES);
    if (!this.#stream.headersSent) this.#stream.respond(OK_HEADERS, { waitForTrailers: true });
    if (this.#stream.write(framed)) return;
    // Who doesn't read isn't listened to either, or what it asks for would pile up.
    if (!this.#stalled) this.#stall();
  }

  end(status: StatusCode, details: string): void {
    if (this.#over) return;
    const headers = statusHeaders(status, details);
    this.#settle();
    if (!this.#stream.destroyed && !this.#stream.closed) answer(this.#stream, headers);
    // Later, since it may be the handler itself that ends the stream: it is told when it has returned.
    if (this.#handler !== undefined) queueMicrotask(() => this.#tellClosed());
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
    if (this.#over) return;
    this.#attempt(() => {
      const used = this.#reader.read(chunk, this.#deliver);
      if (this.#stalled && !this.#over && used < chunk.length) this.#stream.unshift(chunk.subarray(used));
    });
  }

  #message(compressed: boolean, message: Buffer): boolean {
    const { encoding, method } = this.#head;
    this.#caller.request();
    const bytes = compressed ? decompress(message, encoding) : message;
    if (method.kind === 'stream') this.#handler?.message(bytes);
    else this.#answer(method, bytes);
    return !this.#over && !this.#stalled;
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
    if (this.#over) return;
    this.#attempt(() => {
      if (this.#reader.unfinished) throw new StatusError(Status.INTERNAL, 'the request ends within a message');
      if (this.method.kind === 'stream') this.#handler?.halfClose();
      else if (!this.#asked) throw new StatusError(Status.UNIMPLEMENTED, 'the method takes one message, not none');
    });
  }

  #stall(): void {
    const stream = this.#stream;
    const aborted = () => {
      this.gone();
      goOn();
    };
    const goOn = () => {
      this.#stalled = false;
      stream.off('drain', goOn).off('aborted', aborted).resume();
    };
    this.#stalled = true;
    stream.on('drain', goOn).on('aborted', aborted).pause();
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const { status, message } = statusOf(error, this.method.path, this.#caller.log);
    this.end(status, message);
  }
}

/** Says that there will be no call. */
export function refuse(stream: ServerHttp2Stream, refusal: Refusal): void {
  if (stream.destroyed || stream.closed) return;
  if ('httpStatus' in refusal) finish(stream, { ':status': refusal.httpStatus });
  else answer(stream, { ...statusHeaders(refusal.status, refusal.details), ...refusal.headers });
}

/** The status: in the headers where nothing was sent before it, else in the trailers. */
function answer(stream: ServerHttp2Stream, status: OutgoingHttpHeaders): void {
  if (!stream.headersSent) {
    finish(stream, { ...OK_HEADERS, ...status });
    return;
  }
  stream.once('wantTrailers', () => {
    stream.sendTrailers(status);
    closeSoon(stream);
  });
  stream.end();
  stream.resume();
}

function finish(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  stream.respond(headers, { endStream: true });
  // What still comes is not for anybody, but the stream ends only when it was read.
  stream.resume();
  closeSoon(stream);
}

/** HTTP/2 sends trailers in the turn of the event loop after the one in which it wants them. */
function closeSoon(stream: ServerHttp2Stream): void {
  setImmediate(() => setImmediate(leave, stream));
}

/**
 * The answer is complete: a client that has more to send is told to leave it. Where the end has not gone out, since the
 * client doesn't read, the stream stays: to close it now would lose the status. @see RFC 9113 section 8.1
 */
function leave(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.closed || stream.state.localClose !== 1) return;
  stream.close(http2.constants.NGHTTP2_NO_ERROR);
}
