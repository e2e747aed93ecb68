/** Free TCP ports of 127.0.0.1. */

import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * Below Linux's range for outgoing connections (from 32768), so that no connection takes a port between the test here and
 * Envoy's bind.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;

/** Returns different free ports. It listens on all of them until the last one is found. */
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
