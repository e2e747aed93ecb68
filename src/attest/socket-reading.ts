/** Pauses and resumes reading from a connection. */

import type net from 'node:net';
import type { Reader } from '../limits/index.ts';
import { startReading, stopReading } from './socket-peer.ts';

export class SocketReading implements Reader {
  readonly #socket: net.Socket;
  /** The number of pauses that were not resumed. */
  #pauses = 0;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  /**
   * Stops reading until {@link resume} was called as often. If writes are backed up, node:http2 resumes earlier, as soon as
   * they have drained. While paused, it is not noticed that the other end closes the connection.
   */
  pause(): void {
    this.#pauses += 1;
    // Not only the first time, because node:http2 may have resumed reading meanwhile.
    stopReading(this.#socket);
  }

  resume(): void {
    this.#pauses -= 1;
    if (this.#pauses === 0) startReading(this.#socket);
  }
}
