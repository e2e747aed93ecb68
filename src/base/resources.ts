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
  /** The soft limit, which holds. */
  readonly limit: number;
}

/** @see getrlimit(2), RLIMIT_NOFILE */
export function descriptors(): Descriptors {
  const limit = openFilesLimit(readFileSync('/proc/self/limits', 'latin1'));
  return { open: readdirSync('/proc/self/fd').length, limit };
}

const OPEN_FILES = 'Max open files';

/** Lines `NAME   SOFT   HARD   UNIT`, in columns; `unlimited` is no number. */
function openFilesLimit(limits: string): number {
  const line = limits.split('\n').find((each) => each.startsWith(OPEN_FILES));
  const [soft] = line?.slice(OPEN_FILES.length).trim().split(' ') ?? [];
  return soft !== undefined && /^[0-9]+$/.test(soft) ? Number(soft) : Number.MAX_SAFE_INTEGER;
}
