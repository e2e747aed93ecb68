/**
 * What an HTTP/2 session reads from and writes to: the socket itself, which node:http2 reads natively, or for some clients
 * a filter in front of it.
 *
 * grpc-java takes the path of a Unix socket for the `:authority` of its requests. Its slashes are not valid there, and
 * node:http2 resets such a request with PROTOCOL_ERROR before any code of the server sees it. Sidekey accepts any authority,
 * since nothing depends on it, so the filter replaces those bytes. It needs the first bytes to know such a client:
 * grpc-java on Netty is the one that allows its server no streams (SETTINGS_MAX_CONCURRENT_STREAMS = 0).
 *
 * @see RFC 9113 sections 3.4, 6.5 and 8.3.1; RFC 3986 section 3.2
 */

import type net from 'node:net';
import { Duplex } from 'node:stream';
import { AuthorityFilter } from './authority-filter.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const HEAD_BYTES = 9;
const SETTINGS = 4;
const SETTING_BYTES = 6;
const MAX_CONCURRENT_STREAMS = 3;
/** Enough for the preface and the SETTINGS of any client: no more is read before the decision. */
const MAX_FIRST_BYTES = 4_096;

/**
 * Calls `ready` with the transport once the client's preface and SETTINGS have arrived, which clients send without being
 * asked. Never calls it if the socket closes before.
 */
export function openTransport(socket: net.Socket, ready: (transport: net.Socket | Duplex) => void): void {
  let first: Buffer = Buffer.alloc(0);
  const take = (chunk: Buffer) => {
    first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
    const needs = first.length < MAX_FIRST_BYTES ? allowsNoStreams(first) : false;
    if (needs === undefined) return;
    socket.off('data', take);
    socket.pause();
    if (needs) {
      ready(new FilteredSocket(socket, first));
    } else {
      socket.unshift(first);
      ready(socket);
    }
  };
  // 'close' follows and does all that is needed.
  socket.on('error', ignore);
  socket.on('data', take);
}

function ignore(): void {}

/** Undefined: more bytes are needed to tell. */
function allowsNoStreams(bytes: Buffer): boolean | undefined {
  const known = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, known, 0, known) !== 0) return false;
  const start = PREFACE.length + HEAD_BYTES;
  if (bytes.length < start) return undefined;
  const end = start + bytes.readUIntBE(PREFACE.length, 3);
  if (bytes[PREFACE.length + 3] !== SETTINGS || end > MAX_FIRST_BYTES) return false;
  if (bytes.length < end) return undefined;
  for (let at = start; at + SETTING_BYTES <= end; at += SETTING_BYTES) {
    if (bytes.readUInt16BE(at) === MAX_CONCURRENT_STREAMS && bytes.readUInt32BE(at + 2) === 0) return true;
  }
  return false;
}

/** A socket whose input goes through an {@link AuthorityFilter}. */
class FilteredSocket extends Duplex {
  readonly #socket: net.Socket;

  constructor(socket: net.Socket, first: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    const filter = new AuthorityFilter(PREFACE.length);
    const take = (chunk: Buffer) => {
      const filtered = filter.take(chunk);
      if (filtered.length > 0 && !this.push(filtered)) socket.pause();
    };
    take(first);
    socket.on('data', take);
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
