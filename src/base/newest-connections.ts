/** Limits the connections of a listener that anybody may connect to. */

import { isIPv6, type Server, type Socket } from 'node:net';

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
      const client = clientOf(socket);
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

/** The address; of IPv6, the network, since a host has a whole one. Unknown if the connection has ended already. */
function clientOf({ remoteAddress = '' }: Socket): string {
  if (!isIPv6(remoteAddress) || remoteAddress.startsWith('::ffff:')) return remoteAddress;
  const [head = '', tail] = remoteAddress.split('::');
  const groups = head.split(':');
  const left = 8 - groups.length - (tail === undefined || tail === '' ? 0 : tail.split(':').length);
  const all = tail === undefined ? groups : [...groups, ...Array(Math.max(left, 0)).fill('0'), ...tail.split(':')];
  return all.slice(0, 4).join(':');
}
