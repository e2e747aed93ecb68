/** Who opened a connection to the admin socket. */

import fs from 'node:fs';
import type net from 'node:net';
import type { WhyContained } from './contained.ts';
import { hasEnded } from './libc.ts';
import { readStatus } from './proc/status.ts';
import { readable } from './proc/text.ts';
import { openPeerPidfd, peerCredentials } from './socket-peer.ts';

export interface AdminCaller {
  readonly uid: number;
  /** Why it counts as contained: root of a container is root to a socket, too. Undefined where it does not. */
  readonly contained: string | undefined;
}

/** Reads who is on the other end. @throws where the kernel does not say */
export function readAdminCaller(socket: net.Socket, whyContained: WhyContained): AdminCaller {
  const { pid, uid } = peerCredentials(socket);
  return { uid, contained: containedPeer(socket, pid, whyContained) };
}

/** A process that has ended, or that the server does not see, can't be read and so counts as contained. */
function containedPeer(socket: net.Socket, pid: number, whyContained: WhyContained): string | undefined {
  if (pid === 0) return whyContained(0, undefined);
  const pidfd = openPeerPidfd(socket, pid);
  if (pidfd === undefined) return whyContained(pid, undefined);
  try {
    const why = whyContained(
      pid,
      readable(() => readStatus(pid)),
    );
    // While it lives, the number is its own.
    return hasEnded(pidfd) ? whyContained(pid, undefined) : why;
  } finally {
    fs.closeSync(pidfd);
  }
}
