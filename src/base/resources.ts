/** What the machine has left for this process. */

import { readdirSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

export interface Disk {
  /** For those who are not root. */
  readonly freeBytes: number;
  readonly freeInodes: number;
}

/** The file system that a directory is on. */
export async function diskOf(directory: string): Promise<Disk> {
  const { bavail, bsize, ffree, files } = await statfs(directory);
  // btrfs has no fixed number of inodes, and says 0 of 0.
  return { freeBytes: bavail * bsize, freeInodes: files === 0 ? Number.MAX_SAFE_INTEGER : ffree };
}

export interface Descriptors {
  readonly open: number;
  readonly limit: number;
}

/** @see getrlimit(2), RLIMIT_NOFILE */
export function descriptors(): Descriptors {
  return { open: readdirSync('/proc/self/fd').length, limit: descriptorLimit() };
}

/** The soft limit, which holds; Node raises it to the hard one when it starts. */
export function descriptorLimit(): number {
  const line = readFileSync('/proc/self/limits', 'latin1')
    .split('\n')
    .find((one) => one.startsWith(OPEN_FILES));
  const soft = line?.slice(OPEN_FILES.length).trim().split(/ +/)[0];
  return soft === undefined || soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
}

const OPEN_FILES = 'Max open files ';

/** How the descriptors are shared out, so that the admin API, the pipe and the server's own files can't use up each other's. */
export interface DescriptorPlan {
  /** Connections at a time on each listener of the admin API. */
  readonly adminConnections: number;
  /** Connections at a time on the pipe, of all callers. */
  readonly pipeConnections: number;
  /** And of one user or container, so that it leaves the others some. */
  readonly pipeConnectionsPerUid: number;
}

/** For the database, files and directories of /proc, programs that are hashed, and the container engine. */
const OWN = 128;
const ADMIN_LISTENERS = 2;
/** A socket and a pidfd. */
const PER_CALLER = 2;

/** @param limit the process's @param wanted as the settings have it: what may be less here */
export function planDescriptors(
  limit: number,
  wanted: Pick<DescriptorPlan, 'adminConnections' | 'pipeConnectionsPerUid'>,
): DescriptorPlan {
  const adminConnections = Math.max(4, Math.min(wanted.adminConnections, Math.floor(limit / 8)));
  const left = limit - OWN - ADMIN_LISTENERS * adminConnections;
  const pipeConnections = Math.max(4, Math.floor(left / PER_CALLER));
  const pipeConnectionsPerUid = Math.min(wanted.pipeConnectionsPerUid, Math.ceil(pipeConnections / 2));
  return { adminConnections, pipeConnections, pipeConnectionsPerUid };
}
