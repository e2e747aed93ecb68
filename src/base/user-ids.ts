/** The user ids that this process can tell apart: a user namespace may leave ids of the host without a number. */

import { readIdMap } from './proc/id-map.ts';
import { readUnmappedUid } from './unmapped-ids.ts';

/** The user for whom paths are checked. */
export interface Observer {
  /**
   * The effective uid; undefined if this user namespace has no number for it, because then no file is known to be its
   * own.
   */
  readonly uid: number | undefined;
  /** The uid that the kernel shows for all owners without a number here; undefined if every owner has one. */
  readonly unmapped: number | undefined;
}

/**
 * This process, or another one with the given uid as seen from here.
 *
 * If the uid is `nobody` (65534) and mapped here, it counts as the observer, although the kernel shows unmapped owners
 * with the same number.
 */
export function observer(uid: number = process.geteuid!()): Observer {
  const unmapped = readUnmappedUid();
  return { uid: uid === unmapped && !isMapped(uid) ? undefined : uid, unmapped };
}

/** True if the uid has a number in the user namespace of this process. */
function isMapped(uid: number): boolean {
  return readIdMap('self', 'uid_map').ranges.some(({ inside, count }) => uid >= inside && uid < inside + count);
}
