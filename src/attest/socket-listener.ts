/** Finds the process that listens on a Unix socket. */

import { once } from 'node:events';
import net from 'node:net';
import type { PeerCredentials } from './types.ts';

/** Connects and asks the kernel. @throws Error if no process listens there */
export async function findListener(socket: string): Promise<Pick<PeerCredentials, 'pid' | 'uid'>> {
  // `sidekey doctor` calls it; no other client command loads koffi.
  const { peerCredentials } = await import('./socket-peer.ts');
  const client = net.connect(socket);
  try {
    await once(client, 'connect');
    const { pid, uid } = peerCredentials(client);
    return { pid, uid };
  } finally {
    client.destroy();
  }
}
