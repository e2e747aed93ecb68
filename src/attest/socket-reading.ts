/** Whether a connection is read from. */

import type net from 'node:net';
import type { Reader } from '../limits/readers.ts';
import { startReading, stopReading } from './socket-peer.ts';

export class SocketReading implements Reader {
  readonly #socket: net.Socket;
  /** The number of pauses that were not resumed. */
  #pauses = 0;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  /**
   * Reads nothing more until {@link resume} was called as often, or until what waits to be written to the connection has been.
   * Meanwhile it goes unnoticed that the other end has closed it.
   */
  pause(): void {
    this.#pauses += 1;
    // Each time: node:http2 begins to read when what it has written is taken, paused or not.
    stopReading(this.#socket);
  }

  resume(): void {
    this.#pauses -= 1;
    if (this.#pauses === 0) startReading(this.#socket);
  }
}
