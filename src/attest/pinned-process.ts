/** A process pinned by a pidfd, so that a signal reaches it and never another process that got its pid later. */

import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { hasEnded, pidfdOpen, pidfdSendSignal } from './libc.ts';
import { readUsers } from './proc/status.ts';

export interface PinnedProcess {
  /** Its real, effective and saved user at the time it was pinned. */
  readonly users: readonly number[];
  /** @throws ESRCH if it has ended; EPERM */
  signal(name: NodeJS.Signals): void;
  close(): void;
}

/**
 * Pins the process that has this pid now.
 * @throws ESRCH if there is none; ENOENT if /proc does not show it; ERR_PROC
 */
export function pinProcess(pid: number): PinnedProcess {
  const pidfd = pidfdOpen(pid);
  try {
    const users = readUsers(pid);
    // If it is alive now, the pid was not given to another process before its status was read.
    if (hasEnded(pidfd)) throw Object.assign(new Error('the process has ended'), { code: 'ESRCH' });
    return {
      users,
      signal: (name) => pidfdSendSignal(pidfd, constants.signals[name]),
      close: () => closeSync(pidfd),
    };
  } catch (thrown) {
    closeSync(pidfd);
    throw thrown;
  }
}
