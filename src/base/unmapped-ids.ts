/**
 * The overflow ids. Where this process's user namespace leaves ids of the host unmapped, each of those reads as the overflow
 * id, 65534; elsewhere 65534 is a user like others (nobody).
 *
 * @see user_namespaces(7), /proc/sys/kernel/overflowuid
 */

import { readIdMap } from './proc/id-map.ts';
import { parseId, readable, readProcFile } from './proc/text.ts';

/** The overflow ids; undefined where every id is mapped. */
export interface UnmappedIds {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** What the kernel has if nobody sets another. */
const OVERFLOW_ID = 65_534;

/** For the namespace of this process. A map can be written once, so what is read at the start stays. */
export function readUnmappedIds(): UnmappedIds {
  return { uid: readUnmappedUid(), gid: unmappedId('gid_map', 'overflowgid') };
}

/** The uid of these, alone. */
export function readUnmappedUid(): number | undefined {
  return unmappedId('uid_map', 'overflowuid');
}

function unmappedId(file: 'uid_map' | 'gid_map', setting: string): number | undefined {
  try {
    if (!readIdMap('self', file).leavesUnmapped) return undefined;
  } catch (error) {
    // A kernel without user namespaces has no such file. A map that can't be read is taken for one with gaps.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  }
  const value = readable(() => readProcFile(`/proc/sys/kernel/${setting}`));
  return value === undefined ? OVERFLOW_ID : parseId(value.trimEnd(), `${setting} is no number`);
}
