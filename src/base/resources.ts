/** The remaining resources of the machine for this process. */

import { readdirSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

export interface Disk {
  /** Available to users other than root. */
  readonly freeBytes: number;
  readonly freeInodes: number;
}

/** The free space of the file system that contains a directory. */
export async function diskOf(directory: string): Promise<Disk> {
  const { bavail, bsize, ffree, files } = await statfs(directory);
  // btrfs has no fixed number of inodes and reports 0 of 0.
  return { freeBytes: bavail * bsize, freeInodes: files === 0 ? Number.MAX_SAFE_INTEGER : ffree };
}

export interface DescriptorUse {
  readonly open: number;
  readonly limit: number;
}

/** @see getrlimit(2), RLIMIT_NOFILE */
export function descriptors(): DescriptorUse {
  return { open: readdirSync('/proc/self/fd').length, limit: descriptorLimit() };
}

/** The soft limit, which applies; Node raises it to the hard limit when it starts. */
export function descriptorLimit(): number {
  const line = readFileSync('/proc/self/limits', 'latin1')
    .split('\n')
    .find((one) => one.startsWith(OPEN_FILES));
  const soft = line?.slice(OPEN_FILES.length).trim().split(/ +/)[0];
  return soft === undefined || soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
}

const OPEN_FILES = 'Max open files ';

/**
 * The shares of the file descriptors, so that admin API, agent socket and the server's own files cannot starve each
 * other.
 */
export interface DescriptorPlan {
  /** Maximum number of connections on each listener of the admin API. */
  readonly adminConnections: number;
  /** Maximum number of connections of all callers on the agent socket. */
  readonly pipeConnections: number;
  /** Maximum number of connections of one user or container there. */
  readonly pipeConnectionsPerUid: number;
  /** Maximum number of connections on the agent port; 0 if there is none. */
  readonly agentConnections: number;
}

/** For the database, files and directories of /proc, hashed programs, and the container engine. */
const OWN = 128;
export const ADMIN_LISTENERS = 2;
/** A socket and a pidfd. */
const PER_CALLER = 2;
const MOST_AGENTS = 20_000;

/**
 * @param limit the process's limit
 * @param wanted the configured numbers, which may be reduced
 * @param listeners the number of listeners that have as many connections as the admin API
 * @param hasAgents whether there is an agent port
 */
export function planDescriptors(
  limit: number,
  wanted: Pick<DescriptorPlan, 'adminConnections' | 'pipeConnectionsPerUid'>,
  listeners = ADMIN_LISTENERS,
  hasAgents = false,
): DescriptorPlan {
  const adminConnections = Math.max(4, Math.min(wanted.adminConnections, Math.floor(limit / 8)));
  const agentConnections = hasAgents ? Math.max(4, Math.min(MOST_AGENTS, Math.floor(limit / 4))) : 0;
  const left = limit - OWN - listeners * adminConnections - agentConnections;
  const pipeConnections = Math.max(4, Math.floor(left / PER_CALLER));
  const pipeConnectionsPerUid = Math.min(wanted.pipeConnectionsPerUid, Math.ceil(pipeConnections / 2));
  return { adminConnections, pipeConnections, pipeConnectionsPerUid, agentConnections };
}
