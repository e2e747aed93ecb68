/**
 * The overflow ids. If the user namespace of this process leaves ids of the host unmapped, each of them reads as the
 * overflow id, 65534; otherwise 65534 is an ordinary user (nobody).
 *
 * @see user_namespaces(7), /proc/sys/kernel/overflowuid
 */

import { readIdMap } from './proc/id-map.ts';
import { parseId, readable, readProcFile } from './proc/text.ts';

/** The overflow ids; undefined if every id is mapped. */
export interface UnmappedIds {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** The kernel's default. */
const OVERFLOW_ID = 65_534;

/** Reads the ids for the namespace of this process. They do not change, since a map can be written only once. */
export function readUnmappedIds(): UnmappedIds {
  return { uid: readUnmappedUid(), gid: unmappedId('gid_map', 'overflowgid') };
}

/** The overflow uid alone. */
export function readUnmappedUid(): number | undefined {
  return unmappedId('uid_map', 'overflowuid');
}

function unmappedId(file: 'uid_map' | 'gid_map', setting: string): number | undefined {
  try {
    if (!readIdMap('self', file).leavesUnmapped) return undefined;
  } catch (error) {
    // A kernel without user namespaces has no such file. If the map cannot be read, it is assumed to have gaps.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  }
  const value = readable(() => readProcFile(`/proc/sys/kernel/${setting}`));
  return value === undefined ? OVERFLOW_ID : parseId(value.trimEnd(), `${setting} is not a number`);
}
