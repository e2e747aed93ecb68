/** Whether the system calls of attestation work here: the kernel may lack one, a seccomp profile may forbid it. Tried once, at the start. */

import fs from 'node:fs';
import { SidekeyError } from '../base/errors.ts';
import {
  bootTicks,
  epollAdd,
  epollCreate,
  eventfd,
  fileIdentity,
  hasEnded,
  peerCredentials,
  peerGroups,
  peerPidfd,
  pidfdOpen,
  SystemCallError,
  socketPair,
} from './libc.ts';

export interface Kernel {
  /** True if it says which process connected, by a pidfd; else a process may pass for another one of its pid and user. */
  readonly pinsPeers: boolean;
  /** Why no pidfd can be had by a pid, which `sidekey explain --pid` takes; undefined where one can. */
  readonly noPidfdOpen: string | undefined;
}

const ASIDE =
  'EPERM and ENOSYS may come from a seccomp profile (that of Docker before 20.10 lacks pidfd_open): take a newer one';

/**
 * Does for this process, over a socket to itself, all that is done for a caller.
 * @throws ERR_KERNEL naming the call that fails, how, and what provides it
 */
export function probeKernel(): Kernel {
  const descriptors: number[] = [];
  const opened = (fd: number): number => {
    descriptors.push(fd);
    return fd;
  };
  try {
    const [ours, theirs] = must('socketpair', 'any Linux', socketPair);
    opened(theirs);
    opened(ours);
    must('getsockopt(SO_PEERCRED)', 'any Linux', () => peerCredentials(ours));
    // Linux before 4.13 has none, and the groups of /proc/PID/status do.
    must('getsockopt(SO_PEERGROUPS)', 'Linux 4.13', () => attempt(() => peerGroups(ours, 1), 'ENOPROTOOPT'));
    must('statx', 'Linux 4.11', () => fileIdentity('/proc/self/exe'));
    must('clock_gettime(CLOCK_BOOTTIME)', 'any Linux', bootTicks);
    const byPeer = failing(() => opened(peerPidfd(ours)));
    const byPid = failing(() => opened(pidfdOpen(process.pid)));
    if (byPeer !== undefined && byPid !== undefined) {
      const message = `getsockopt(SO_PEERPIDFD) fails with ${byPeer} and pidfd_open with ${byPid}, so no caller can be told from another process that takes its pid`;
      throw new SidekeyError('ERR_KERNEL', `${message}; Linux has the first since 6.5, the second since 5.3. ${ASIDE}`);
    }
    const pidfd = descriptors.at(-1)!;
    must('poll of a pidfd', 'Linux 5.3', () => hasEnded(pidfd));
    const epoll = opened(must('epoll_create1', 'any Linux', epollCreate));
    must('epoll_ctl of a pidfd', 'Linux 5.3', () => epollAdd(epoll, pidfd, 1));
    must('eventfd', 'any Linux', () => opened(eventfd()));
    return {
      pinsPeers: byPeer === undefined,
      noPidfdOpen: byPid === undefined ? undefined : `pidfd_open fails with ${byPid}`,
    };
  } finally {
    for (const fd of descriptors) fs.closeSync(fd);
  }
}

function must<T>(call: string, provider: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    const message = `${call} fails with ${cause.code}, without which no caller can be attested; ${provider} has it. ${ASIDE}`;
    throw new SidekeyError('ERR_KERNEL', message, { cause });
  }
}

/** Runs it, and ignores this one error. */
function attempt(run: () => unknown, code: string): void {
  const failure = failing(run);
  if (failure !== undefined && failure !== code) run();
}

/** The error's name; undefined where there is none. */
function failing(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof SystemCallError) return error.code;
    throw error;
  }
}
