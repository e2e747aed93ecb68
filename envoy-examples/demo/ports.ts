/** Free TCP ports of 127.0.0.1. */

import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * Below the range that Linux takes the ports of outgoing connections from (32768 and up), so that nothing moves in
 * between the look and Envoy's bind.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;

/** As many different ports as asked for, each of them free; all are held until the last one is found. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  try {
    while (held.size < count) {
      const port = randomInt(LOWEST, HIGHEST + 1);
      const server = held.has(port) ? undefined : await listen(port);
      if (server !== undefined) held.set(port, server);
    }
    return [...held.keys()];
  } finally {
    await Promise.all([...held.values()].map((server) => new Promise((closed) => server.close(closed))));
  }
}

function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ host: '127.0.0.1', port }, () => resolve(server));
  });
}
