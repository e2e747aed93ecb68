/** Limits the connections of a listener that anybody may connect to. */

import type { Server, Socket } from 'node:net';

/**
 * Keeps the newest connections of a server open, at most a number of them: the oldest one is closed for a new one, since
 * it may be one that never asks for anything. Connections count from their first packet, before TLS.
 */
export class NewestConnections {
  readonly #open = new Set<Socket>();

  /** @param crowded is called for each connection that is closed for another one */
  constructor(server: Server, most: number, crowded: () => void = () => undefined) {
    server.prependListener('connection', (socket: Socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      if (this.#open.size <= most) return;
      const [oldest] = this.#open;
      this.#open.delete(oldest!);
      oldest!.destroy();
      crowded();
    });
  }

  /** Closes all, also those whose TLS handshake has not ended, which `closeAllConnections` of the server leaves open. */
  closeAll(): void {
    for (const socket of this.#open) socket.destroy();
  }
}
