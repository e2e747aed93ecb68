/** The process that opened a connection to the admin socket. */

import fs from 'node:fs';
import type net from 'node:net';
import { readable } from '../base/index.ts';
import { isInHostUserNamespace, REASONS, type WhyContained } from './contained.ts';
import { hasEnded } from './libc.ts';
import { readStatus } from './proc/status.ts';
import { openPeerPidfd, openPeerPidfdByPid, peerCredentials } from './socket-peer.ts';

export interface AdminProcess {
  readonly uid: number;
  /** In Sidekey's pid namespace; 0: it is in another one. */
  readonly pid: number;
  /**
   * The reason why the process counts as contained, undefined if it does not; SO_PEERCRED shows root in a container as
   * root.
   */
  readonly contained: string | undefined;
}

/**
 * Reads the uid of the process at the other end, and whether it is in a container.
 * @param pinByPid true if the kernel has no SO_PEERPIDFD
 * @throws if the kernel refuses, or the pid may belong to another process by now
 */
export function readAdminCaller(socket: net.Socket, whyContained: WhyContained, pinByPid: boolean): AdminProcess {
  const { pid, uid } = peerCredentials(socket);
  if (pid === 0) return { uid, pid, contained: whyContained(0, undefined) };
  const pidfd = pinByPid ? openPeerPidfdByPid(socket) : openPeerPidfd(socket);
  return { uid, pid, contained: containedPeer(pid, pidfd, whyContained) };
}

/** A process that has ended counts as contained, because it can't be read. */
function containedPeer(pid: number, pidfd: number | undefined, whyContained: WhyContained): string | undefined {
  if (pidfd === undefined) return whyContained(pid, undefined);
  try {
    const why = whyContained(
      pid,
      readable(() => readStatus(pid)),
    );
    // If Sidekey is in a user namespace, its owner may call from the host's.
    const isOutside = why === REASONS.user && readable(() => isInHostUserNamespace(pid)) === true;
    // If it is alive now, the pid was not reused while /proc was read.
    if (hasEnded(pidfd)) return whyContained(pid, undefined);
    return isOutside ? undefined : why;
  } finally {
    fs.closeSync(pidfd);
  }
}
