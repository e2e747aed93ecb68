/** Limits the connections of a listener that anybody may connect to. */

import type { Server, Socket } from 'node:net';
import { countedAddress } from './client-address.ts';

/**
 * Keeps the newest connections of a server open, at most a number of them. For one more, the oldest connection of the
 * client with the most connections is closed, since it may be one that never asks for anything; so a client that opens
 * many displaces its own. Connections count from their first packet, before TLS.
 */
export class NewestConnections {
  /** By client, oldest first. */
  readonly #open = new Map<string, Set<Socket>>();
  #size = 0;

  /** @param crowded is called for each connection that is closed for another one */
  constructor(server: Server, most: number, crowded: () => void = () => undefined) {
    server.prependListener('connection', (socket: Socket) => {
      const client = countedAddress(socket.remoteAddress);
      this.#add(client, socket);
      socket.once('close', () => this.#remove(client, socket));
      if (this.#size <= most) return;
      const [largest, sockets] = this.#largest();
      const [oldest] = sockets;
      this.#remove(largest, oldest!);
      oldest!.destroy();
      crowded();
    });
  }

  /** Closes all, also those whose TLS handshake has not ended, which `closeAllConnections` of the server leaves open. */
  closeAll(): void {
    for (const sockets of this.#open.values()) for (const socket of sockets) socket.destroy();
  }

  #add(client: string, socket: Socket): void {
    const sockets = this.#open.get(client);
    if (sockets === undefined) this.#open.set(client, new Set([socket]));
    else sockets.add(socket);
    this.#size += 1;
  }

  #remove(client: string, socket: Socket): void {
    const sockets = this.#open.get(client);
    if (sockets?.delete(socket) !== true) return;
    this.#size -= 1;
    if (sockets.size === 0) this.#open.delete(client);
  }

  /** Among equals, the one that came first. */
  #largest(): [string, Set<Socket>] {
    let largest: [string, Set<Socket>] | undefined;
    for (const one of this.#open) if (largest === undefined || one[1].size > largest[1].size) largest = one;
    return largest!;
  }
}
