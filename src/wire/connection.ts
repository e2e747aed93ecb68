/** One gRPC connection: its HTTP/2 session, its calls, its owner's limits, and its end. */

import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type net from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../base/index.ts';
import { LimitError, type MemoryBudget, type Quota, type Reader, type Turns } from '../limits/index.ts';
import { type LimitName, type Log, ownedLog } from '../telemetry/index.ts';
import { refuse } from './answer.ts';
import { CALL_BYTES, type CallConnection, Http2Call, tellLimit } from './call.ts';
import { keepAlive } from './keepalive.ts';
import type { MessageBuffers } from './message-buffers.ts';
import { isRefusal, type RequestHead, readRequestHead } from './request-head.ts';
import { statusOf } from './status.ts';
import { type Method, Status, StatusError, type WirePeer } from './types.ts';

/** The parts that all connections share. */
export interface ConnectionParts<P extends WirePeer> {
  readonly methods: ReadonlyMap<string, Method<P>>;
  readonly quota: Quota;
  readonly memory: MemoryBudget;
  readonly turns: Turns;
  readonly buffers: MessageBuffers;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessionOptions: http2.ServerSessionOptions;
}

/**
 * After the process has ended, its socket may be open in another process, which gets this time to read the status, in
 * milliseconds.
 */
const CUT_MS = 500;
/** A retired connection whose calls do not end is closed after this time, in milliseconds. */
const RETIRE_MS = 30_000;

export class Connection<P extends WirePeer> implements CallConnection<P> {
  readonly peer: P;
  readonly #parts: ConnectionParts<P>;
  readonly #socket: net.Socket;
  readonly #reading: Reader;
  readonly #session: ServerHttp2Session;
  readonly #calls = new Set<Http2Call<P>>();
  /** Set once no more calls are accepted: the reason. */
  #ended: string | undefined;
  #streamCount = 0;

  /** @param transport the socket, or a filter in front of it */
  constructor(socket: net.Socket, transport: net.Socket | Duplex, peer: P, reading: Reader, parts: ConnectionParts<P>) {
    this.peer = peer;
    this.#parts = parts;
    this.#socket = socket;
    this.#reading = reading;
    this.#session = http2.performServerHandshake(transport as net.Socket, parts.sessionOptions);
    this.#session.on('stream', (stream, headers, _flags, rawHeaders) => this.#open(stream, headers, rawHeaders));
    // HTTP/2 errors of clients are common and need no action: the socket closes.
    this.#session.on('error', (err) => this.log.debug({ err }, 'HTTP/2 failed on a connection'));
    const { readers } = peer.owner.accounts[0];
    readers.add(reading);
    socket.once('close', () => readers.remove(reading));
    const stop = keepAlive(this.#session, parts.clock, () => peer.close());
    socket.once('close', stop);
    peer.onGone(() => this.#cut());
  }

  get clock(): Clock {
    return this.#parts.clock;
  }

  /** Built on each use, since most connections never log. */
  get log(): Log {
    return ownedLog(this.#parts.log, this.peer.owner.name, { peer: this.peer.id });
  }

  get buffers(): MessageBuffers {
    return this.#parts.buffers;
  }

  /** The number of open calls of streaming methods. */
  get streamCount(): number {
    return this.#streamCount;
  }

  get memory(): MemoryBudget {
    return this.#parts.memory;
  }

  request(): void {
    this.#parts.quota.request(this.peer.owner, this.#parts.clock.now());
  }

  limitHit(limit: LimitName): void {
    this.#parts.quota.hit(limit);
  }

  inTurn(work: () => void): void {
    const { turns } = this.#parts;
    const [account] = this.peer.owner.accounts;
    if (turns.isOpen(account)) {
      turns.measure(account, work);
      return;
    }
    account.readers.rest((goOn) => turns.later(account, goOn));
    this.defer();
    turns.later(account, () => {
      try {
        work();
      } finally {
        this.resume();
      }
    });
  }

  defer(): void {
    this.#reading.pause();
  }

  resume(): void {
    this.#reading.resume();
  }

  /** Ends all calls, and any new ones, with UNAVAILABLE. */
  endCalls(reason: string): void {
    this.#ended = reason;
    for (const call of this.#calls) call.end(Status.UNAVAILABLE, reason);
  }

  /**
   * Ends all calls, tells the client to open no more (GOAWAY), and closes the connection once the client has read that.
   */
  close(reason: string): void {
    this.endCalls(reason);
    this.#session.close();
  }

  /** Tells the client to open no more calls (GOAWAY), and closes the connection when its calls have ended. */
  retire(): void {
    this.#session.close();
    if (this.#calls.size > 0) this.#parts.clock.after(RETIRE_MS, () => this.peer.close());
  }

  #open(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    // 'close' follows and does all that is needed. A stream may be destroyed before it is announced, and emit its error then.
    stream.on('error', ignore);
    if (stream.destroyed) return;
    const { quota } = this.#parts;
    const { owner } = this.peer;
    if (!quota.openStream(owner)) {
      stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    this.#countUntilClosed(stream);
    this.inTurn(() => this.#take(stream, headers, rawHeaders));
  }

  /** A function of its own, so that what listens to the stream does not keep the headers in memory. */
  #countUntilClosed(stream: ServerHttp2Stream): void {
    stream.once('close', () => this.#parts.quota.closeStream(this.peer.owner));
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    if (stream.destroyed) return;
    const head = readRequestHead(headers, rawHeaders, this.#parts.methods);
    if (isRefusal(head)) {
      refuse(stream, head);
      return;
    }
    const call = this.#admit(stream, head);
    if (call === undefined) return;
    stream.once('close', () => this.#leave(call));
    call.serve(head);
  }

  #admit(stream: ServerHttp2Stream, { method, keptBytes }: RequestHead<P>): Http2Call<P> | undefined {
    const call = new Http2Call(stream, method, this);
    try {
      if (this.#ended !== undefined) throw new StatusError(Status.UNAVAILABLE, this.#ended);
      call.hold(CALL_BYTES + keptBytes);
      this.#parts.quota.open(this.peer.owner);
    } catch (error) {
      this.memory.releaseAll(call);
      if (error instanceof LimitError) tellLimit(this.log, error.message);
      refuse(stream, statusOf(error, method.path, this));
      return undefined;
    }
    this.#calls.add(call);
    if (isStreaming(method)) this.#streamCount += 1;
    return call;
  }

  #leave(call: Http2Call<P>): void {
    this.#calls.delete(call);
    if (isStreaming(call.method)) this.#streamCount -= 1;
    this.#parts.quota.close(this.peer.owner);
    call.gone();
    if (this.peer.gone && this.#calls.size === 0) this.#closeSoon();
  }

  /**
   * The process has ended or changed, but another process may have its socket open: sends it the status, then closes.
   */
  #cut(): void {
    if (this.#socket.destroyed) return;
    this.endCalls('the process that opened the connection has ended or changed');
    if (this.#calls.size === 0) this.#closeSoon();
    else this.#parts.clock.after(CUT_MS, () => this.peer.close());
  }

  /** Waits two turns of the event loop, because HTTP/2 writes its output at the end of a turn. */
  #closeSoon(): void {
    setImmediate(() => setImmediate(() => this.peer.close()));
  }
}

function isStreaming({ kind }: Pick<Method, 'kind'>): boolean {
  return kind !== 'unary';
}

function ignore(): void {}
