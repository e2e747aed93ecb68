/** Which user ids this process can tell apart: a user namespace may leave ids of the host without a number of its own. */

import { readFileSync } from 'node:fs';

/** The user on whose behalf paths are judged. */
export interface Observer {
  /** The effective uid; undefined where this user namespace has no number for it, so that nothing is known to be its own. */
  readonly uid: number | undefined;
  /** The uid by which the kernel shows every owner without a number here; undefined where every owner has one. */
  readonly unmapped: number | undefined;
}

/** All uids but -1, which is none. */
const ALL_UIDS = 2 ** 32 - 1;
/** The kernel's default. @see proc_sys_kernel(5), overflowuid */
const OVERFLOW_UID = 65_534;

/**
 * This process; or, as seen from here, one that runs as `uid`.
 *
 * `nobody` (65534) that has a number here is taken for the observer itself, though the kernel shows unmapped owners alike.
 */
export function observer(uid: number = process.geteuid!()): Observer {
  const { unmapped, has } = readIds();
  return { uid: uid === unmapped && !has(uid) ? undefined : uid, unmapped };
}

function readIds(): { unmapped: number | undefined; has(uid: number): boolean } {
  const ranges = parseIdMap(read('/proc/self/uid_map') ?? `0 0 ${ALL_UIDS}`);
  const count = ranges.reduce((sum, range) => sum + range.count, 0);
  return {
    unmapped: count >= ALL_UIDS ? undefined : Number(read('/proc/sys/kernel/overflowuid') ?? OVERFLOW_UID),
    has: (uid) => ranges.some(({ first, count }) => uid >= first && uid < first + count),
  };
}

/** The ids that exist inside of a user namespace. @see user_namespaces(7), uid_map */
export function parseIdMap(text: string): { readonly first: number; readonly count: number }[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/ +/).map(Number))
    .filter((numbers) => numbers.length === 3)
    .map(([first, , count]) => ({ first: first!, count: count! }));
}

/** Undefined where the file is missing: a kernel without user namespaces, or no /proc, where 65534 is one stranger more. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}
