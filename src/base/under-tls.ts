/** Finds the TCP connection under a TLS socket: limits count connections from their first packet, before TLS. */

import type { Server, Socket } from 'node:net';

export class UnderTls {
  /** Connections whose handshake has not ended, by their addresses and ports, which are unique while they live. */
  readonly #opening = new Map<string, Socket>();
  readonly #connections = new WeakMap<Socket, Socket>();

  constructor(server: Server) {
    server.prependListener('connection', (connection) => {
      const addresses = addressesOf(connection);
      this.#opening.set(addresses, connection);
      connection.once('close', () => this.#opening.delete(addresses));
    });
    server.prependListener('secureConnection', (socket: Socket) => {
      const addresses = addressesOf(socket);
      const connection = this.#opening.get(addresses);
      this.#opening.delete(addresses);
      if (connection !== undefined) this.#connections.set(socket, connection);
    });
  }

  /** Undefined for a socket whose handshake has not ended. */
  connectionOf(socket: Socket): Socket | undefined {
    return this.#connections.get(socket);
  }

  isOpening(socket: Socket): boolean {
    return !this.#connections.has(socket);
  }
}

function addressesOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
