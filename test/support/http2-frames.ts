/** HTTP/2 by hand, for clients that no library would be. @see RFC 9113 section 4, RFC 7541 section 6.2.2 */

import { once } from 'node:events';
import net from 'node:net';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([frameHead(type, flags, stream, payload.length), payload]);
}

export const FRAME_HEAD_BYTES = 9;

/** @param length of the payload, which follows */
export function frameHead(type: number, flags: number, stream: number, length: number): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head;
}

/** A header block of literals that are not indexed. */
export function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), hpackString(name), hpackString(value)]));
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** HEADERS that open a gRPC call. */
export function callHeaders(stream: number, path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  const block = headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]);
  return frame(FrameType.HEADERS, END_HEADERS, stream, block);
}

/** A gRPC message, length first. */
export function grpcMessage(bytes: Uint8Array, compressed = false): Buffer {
  return Buffer.concat([grpcHead(bytes.length, compressed), bytes]);
}

/** What comes before a message of so many bytes. */
export function grpcHead(length: number, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(length, 1);
  return head;
}

/** DATA of at most 16 KiB each, the largest that a server must take. */
export function dataFrames(stream: number, bytes: Uint8Array, flags = 0): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length || frames.length === 0; at += 16_384) {
    const last = at + 16_384 >= bytes.length;
    frames.push(frame(FrameType.DATA, last ? flags : 0, stream, bytes.subarray(at, at + 16_384)));
  }
  return Buffer.concat(frames);
}

export function resetStream(stream: number, code = 8): Buffer {
  return frame(FrameType.RST_STREAM, 0, stream, uint32(code));
}

/** A number as payloads have it. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The frames in what came so far; an unfinished one is left out. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const [type, flags] = [bytes.readUInt8(at + 3), bytes.readUInt8(at + 4)];
    frames.push({
      type,
      flags,
      stream: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}

/** A connection that says nothing by itself and keeps what it is told. */
export class RawClient {
  readonly socket: net.Socket;
  readonly #received: Buffer[] = [];
  /** Resolves when the server has cut the connection, or ended it. */
  readonly closed: Promise<unknown>;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => this.#received.push(bytes));
    this.closed = new Promise((resolve) => socket.once('close', resolve));
  }

  static async connect(path: string): Promise<RawClient> {
    const socket = net.connect(path);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** With the preface and an empty SETTINGS, as a client must begin. */
  static async begin(path: string): Promise<RawClient> {
    const client = await RawClient.connect(path);
    client.write(PREFACE, frame(FrameType.SETTINGS, 0, 0), frame(FrameType.SETTINGS, 1, 0));
    return client;
  }

  write(...parts: readonly Buffer[]): void {
    if (this.socket.writable) this.socket.write(Buffer.concat(parts));
  }

  get frames(): Frame[] {
    return readFrames(Buffer.concat(this.#received));
  }

  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** The first frame that fits, now or later; rejects when the connection closes without one. */
  async frame(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined) return found;
      if (this.socket.closed) throw new Error('the connection closed without the frame');
      await Promise.race([once(this.socket, 'data'), this.closed]);
    }
  }

  /** Everything written before has been read by the server's HTTP/2 when this resolves. */
  async ping(): Promise<void> {
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(process.hrtime.bigint());
    this.write(frame(FrameType.PING, 0, 0, payload));
    await this.frame(
      ({ type, flags, payload: answer }) => type === FrameType.PING && flags === 1 && answer.equals(payload),
    );
  }

  destroy(): void {
    this.socket.destroy();
  }
}
