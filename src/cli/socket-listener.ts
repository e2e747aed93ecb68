/** Finds the process that listens on a Unix socket. */

import { once } from 'node:events';
import net from 'node:net';
import type { Listener } from '../doctor/listeners.ts';

/** Connects and asks the kernel. @throws Error if no process listens there */
export async function findListener(socket: string): Promise<Listener> {
  const { peerCredentials } = await import('../attest/socket-peer.ts');
  const client = net.connect(socket);
  try {
    await once(client, 'connect');
    const { pid, uid } = peerCredentials(client);
    return { pid, uid };
  } finally {
    client.destroy();
  }
}
