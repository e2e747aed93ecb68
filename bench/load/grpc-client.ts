/**
 * A gRPC client that writes and reads HTTP/2 frames itself: with a library's, ten thousand streams cost the client as
 * much as the server, and the client would be measured. As a real client does, it answers in one write all that came in
 * one read, and keeps to the windows that the server opens. What waits for those is not copied: of ten thousand ACKs
 * of 61 KB that would be 600 MB.
 *
 * @see RFC 9113 sections 5.2 (flow control), 6.5.2 (settings)
 */

import net from 'node:net';
import {
  callHeaders,
  END_STREAM,
  FRAME_HEAD_BYTES,
  type Frame,
  FrameType,
  frame,
  frameHead,
  grpcHead,
  PREFACE,
  readFrames,
  uint32,
} from '../../test/support/http2-frames.ts';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

/** The streaming methods, by service and variant. */
export const METHODS = {
  'sds sotw': `${SDS}/StreamSecrets`,
  'sds delta': `${SDS}/DeltaSecrets`,
  'ads sotw': `${ADS}/StreamAggregatedResources`,
  'ads delta': `${ADS}/DeltaAggregatedResources`,
  'workload x509': '/SpiffeWorkloadAPI/FetchX509SVID',
} as const;
export type Way = keyof typeof METHODS;

/** What the Workload API wants of every request. */
const WORKLOAD: [string, string][] = [['workload.spiffe.io', 'true']];

const ACK = 1;
const MESSAGE_HEAD = 5;
/** Until a server says otherwise. */
const FIRST_WINDOW = 65_535;
const LARGEST_FRAME = 16_384;
/** Of what is received: no load here comes near, so that it is never opened again. */
const LARGEST_WINDOW = 0x7fff_ffff;
const INITIAL_WINDOW_SIZE = 4;

export class Connection {
  readonly #socket: net.Socket;
  readonly #calls = new Map<number, Call>();
  /** Calls with bytes that wait for a window of the connection. */
  readonly #waiting = new Set<Call>();
  #unread: Buffer | undefined;
  #nextStream = 1;
  #window = FIRST_WINDOW;
  #windowOfCalls = FIRST_WINDOW;
  #corked = false;
  /** Told when nothing waits any more, and when the server answers the PING. */
  #settling: { sent: () => void; answered: () => void } | undefined;

  constructor(socket: string) {
    this.#socket = net.connect(socket);
    this.#socket.on('error', fail).on('data', (bytes: Buffer) => this.#read(bytes));
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
    settings.writeUInt32BE(LARGEST_WINDOW, 2);
    const window = uint32(LARGEST_WINDOW - FIRST_WINDOW);
    this.write(PREFACE);
    this.write(frame(FrameType.SETTINGS, 0, 0, settings));
    this.write(frame(FrameType.WINDOW_UPDATE, 0, 0, window));
  }

  /** Told of each message that comes. */
  stream(message: (bytes: Buffer) => void, way: Way = 'sds sotw'): Call {
    return this.#open(METHODS[way], message);
  }

  fetch(request: Buffer): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#open(`${SDS}/FetchSecrets`, resolve).end([request]);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** When the server has read all that was to be sent. */
  async settled(): Promise<void> {
    const [sent, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#settling = { sent: sent.resolve, answered: answered.resolve };
    if (this.#waiting.size > 0) await sent.promise;
    this.write(frame(FrameType.PING, 0, 0, Buffer.alloc(8)));
    await answered.promise;
  }

  /** Lets a call send what the windows allow; the rest waits. */
  send(call: Call): void {
    const sent = call.write(this.#window);
    this.#window -= sent;
    if (call.unsent) this.#waiting.add(call);
    else if (this.#waiting.delete(call) && this.#waiting.size === 0) this.#settling?.sent();
  }

  /** What is written in one turn leaves in one write. */
  write(bytes: Buffer): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      queueMicrotask(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #open(path: string, message: (bytes: Buffer) => void): Call {
    const call = new Call(this.#nextStream, this.#windowOfCalls, this, message);
    this.#nextStream += 2;
    this.#calls.set(call.number, call);
    this.write(callHeaders(call.number, path, path.startsWith('/SpiffeWorkloadAPI/') ? WORKLOAD : []));
    return call;
  }

  #read(chunk: Buffer): void {
    const bytes = this.#unread === undefined ? chunk : Buffer.concat([this.#unread, chunk]);
    let read = 0;
    for (const received of readFrames(bytes)) {
      read += FRAME_HEAD_BYTES + received.payload.length;
      this.#take(received);
    }
    this.#unread = read === bytes.length ? undefined : bytes.subarray(read);
  }

  #take({ type, flags, stream, payload }: Frame): void {
    const isAck = (flags & ACK) !== 0;
    if (type === FrameType.RST_STREAM || type === FrameType.GOAWAY) {
      fail(new Error(`the server ends a stream or the connection (frame type ${type}): ${payload.toString('latin1')}`));
    } else if (type === FrameType.SETTINGS && !isAck) this.#settings(payload);
    else if (type === FrameType.PING && isAck) this.#settling?.answered();
    else if (type === FrameType.PING) this.write(frame(FrameType.PING, ACK, 0, payload));
    else if (type === FrameType.WINDOW_UPDATE) this.#opened(stream, payload.readUInt32BE());
    else if (type === FrameType.DATA) this.#calls.get(stream)?.read(payload);
    if ((type === FrameType.HEADERS || type === FrameType.DATA) && (flags & END_STREAM) !== 0) {
      this.#calls.get(stream)?.ended();
      this.#calls.delete(stream);
    }
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== INITIAL_WINDOW_SIZE) continue;
      const size = payload.readUInt32BE(at + 2);
      for (const call of this.#calls.values()) call.window += size - this.#windowOfCalls;
      this.#windowOfCalls = size;
    }
    this.write(frame(FrameType.SETTINGS, ACK, 0));
    this.#goOn();
  }

  #opened(stream: number, size: number): void {
    if (stream === 0) this.#window += size;
    else {
      const call = this.#calls.get(stream);
      if (call === undefined) return;
      call.window += size;
    }
    this.#goOn();
  }

  #goOn(): void {
    for (const call of [...this.#waiting]) this.send(call);
  }
}

export class Call {
  readonly number: number;
  /** How many bytes the server takes of it now. */
  window: number;
  readonly #connection: Connection;
  readonly #message: (bytes: Buffer) => void;
  readonly #unsent: Buffer[] = [];
  #unread: Buffer | undefined;
  #answered = false;
  #half = false;

  constructor(number: number, window: number, connection: Connection, message: (bytes: Buffer) => void) {
    this.number = number;
    this.window = window;
    this.#connection = connection;
    this.#message = message;
  }

  /** One message, in parts that stay as they are. */
  send(message: readonly Buffer[]): void {
    let size = 0;
    for (const { length } of message) size += length;
    const framed = [grpcHead(size), ...message];
    if (size <= COPIED) this.#unsent.push(Buffer.concat(framed));
    else this.#unsent.push(...framed);
    this.#connection.send(this);
  }

  end(message: readonly Buffer[]): void {
    this.#half = true;
    this.send(message);
  }

  get unsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** For the connection: sends as much as it may, of at most so many bytes; says how many. */
  write(most: number): number {
    let sent = 0;
    for (;;) {
      const part = this.#unsent[0];
      const size = Math.min(part?.length ?? 0, this.window, most - sent, LARGEST_FRAME);
      if (part === undefined || size <= 0) return sent;
      if (size === part.length) this.#unsent.shift();
      else this.#unsent[0] = part.subarray(size);
      const isLast = this.#half && this.#unsent.length === 0;
      this.#connection.write(frameHead(FrameType.DATA, isLast ? END_STREAM : 0, this.number, size));
      this.#connection.write(part.subarray(0, size));
      this.window -= size;
      sent += size;
    }
  }

  /** For the connection: bytes that came. */
  read(chunk: Buffer): void {
    let bytes = this.#unread === undefined ? chunk : Buffer.concat([this.#unread, chunk]);
    while (bytes.length >= MESSAGE_HEAD && bytes.length >= MESSAGE_HEAD + bytes.readUInt32BE(1)) {
      const end = MESSAGE_HEAD + bytes.readUInt32BE(1);
      this.#answered = true;
      this.#message(bytes.subarray(MESSAGE_HEAD, end));
      bytes = bytes.subarray(end);
    }
    this.#unread = bytes.length === 0 ? undefined : bytes;
  }

  /** For the connection: the server has ended it. */
  ended(): void {
    if (!this.#half || !this.#answered) fail(new Error('the server ends a call that it has not answered'));
  }
}

/** To write a message of so many bytes in parts takes longer than to copy it. */
const COPIED = 4_096;

/** A load that fails measures nothing. */
function fail(error: Error): never {
  console.error(error);
  process.exit(1);
}
