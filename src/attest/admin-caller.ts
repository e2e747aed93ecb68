/** The process that opened a connection to the admin socket. */

import fs from 'node:fs';
import type net from 'node:net';
import { readable } from '../base/proc/text.ts';
import { isInHostUserNamespace, REASONS, type WhyContained } from './contained.ts';
import { hasEnded } from './libc.ts';
import { readStatus } from './proc/status.ts';
import { openPeerPidfd, openPeerPidfdByPid, peerCredentials } from './socket-peer.ts';

export interface AdminCaller {
  readonly uid: number;
  /** Why it counts as contained: root of a container is root to a socket, too. Undefined where it does not. */
  readonly contained: string | undefined;
}

/**
 * Reads the uid of the process on the other end, and whether that is in a container.
 * @param pinByPid the kernel has no SO_PEERPIDFD
 * @throws where the kernel does not say, or the process may be another one by now
 */
export function readAdminCaller(socket: net.Socket, whyContained: WhyContained, pinByPid: boolean): AdminCaller {
  const { pid, uid } = peerCredentials(socket);
  if (pid === 0) return { uid, contained: whyContained(0, undefined) };
  const pidfd = pinByPid ? openPeerPidfdByPid(socket) : openPeerPidfd(socket);
  return { uid, contained: containedPeer(pid, pidfd, whyContained) };
}

/** A process that has ended can't be read, and so counts as contained. */
function containedPeer(pid: number, pidfd: number | undefined, whyContained: WhyContained): string | undefined {
  if (pidfd === undefined) return whyContained(pid, undefined);
  try {
    const why = whyContained(
      pid,
      readable(() => readStatus(pid)),
    );
    // The owner of a Sidekey in a user namespace asks from outside of it.
    const isOutside = why === REASONS.user && readable(() => isInHostUserNamespace(pid)) === true;
    // While it lives, the number is its own.
    if (hasEnded(pidfd)) return whyContained(pid, undefined);
    return isOutside ? undefined : why;
  } finally {
    fs.closeSync(pidfd);
  }
}
