/**
 * Tests at start whether the system calls that attestation needs work: the kernel may lack one, or a seccomp profile
 * forbid it.
 */

import fs from 'node:fs';
import { SidekeyError } from '../base/index.ts';
import {
  bootTicks,
  epollAdd,
  epollCreate,
  eventfd,
  fileIdentity,
  hasEnded,
  peerPidfd,
  pidfdOpen,
  readCredentials,
  readGroups,
  SystemCallError,
  socketPair,
} from './libc.ts';

export interface Kernel {
  /** True if SO_PEERPIDFD works; otherwise a process of the same user could pass for a caller whose pid it reuses. */
  readonly pinsPeers: boolean;
  /** Why pidfd_open does not work, which `sidekey explain --pid` needs; undefined if it works. */
  readonly noPidfdOpen: string | undefined;
}

const SECCOMP_HINT =
  'EPERM and ENOSYS may come from a seccomp profile (Docker before 20.10 forbids pidfd_open): use a newer one';

/**
 * Makes all system calls of an attestation, on a socket between this process and itself.
 * @throws ERR_KERNEL with the failing call, its error, and the kernel that has the call
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
    must('getsockopt(SO_PEERCRED)', 'any Linux', () => readCredentials(ours));
    // Linux before 4.13 lacks it; then the groups in /proc/PID/status are sufficient.
    must('getsockopt(SO_PEERGROUPS)', 'Linux 4.13', () => attempt(() => readGroups(ours, 1), 'ENOPROTOOPT'));
    must('statx', 'Linux 4.11', () => fileIdentity('/proc/self/exe'));
    must('clock_gettime(CLOCK_BOOTTIME)', 'any Linux', bootTicks);
    const byPeer = failing(() => opened(peerPidfd(ours)));
    const byPid = failing(() => opened(pidfdOpen(process.pid)));
    if (byPeer !== undefined && byPid !== undefined) {
      const message = `getsockopt(SO_PEERPIDFD) fails with ${byPeer} and pidfd_open with ${byPid}, so a caller cannot be distinguished from a process that reuses its pid`;
      const since = 'Linux has the first since 6.5, the second since 5.3';
      throw new SidekeyError('ERR_KERNEL', `${message}; ${since}. ${SECCOMP_HINT}`);
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
    const message = `${call} fails with ${cause.code}, but attestation needs it; it requires ${provider}. ${SECCOMP_HINT}`;
    throw new SidekeyError('ERR_KERNEL', message, { cause });
  }
}

/** Runs it and ignores the error with this code. */
function attempt(run: () => unknown, code: string): void {
  const failure = failing(run);
  if (failure !== undefined && failure !== code) run();
}

/** Runs it and returns the error's code; undefined if it succeeds. */
function failing(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof SystemCallError) return error.code;
    throw error;
  }
}
