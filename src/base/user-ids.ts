/** Which user ids this process can tell apart: a user namespace may leave ids of the host without a number of its own. */

import { readIdMap } from './proc/id-map.ts';
import { readUnmappedUid } from './unmapped-ids.ts';

/** The user on whose behalf paths are judged. */
export interface Observer {
  /** The effective uid; undefined where this user namespace has no number for it, so that nothing is known to be its own. */
  readonly uid: number | undefined;
  /** The uid by which the kernel shows every owner without a number here; undefined where every owner has one. */
  readonly unmapped: number | undefined;
}

/**
 * This process; or, as seen from here, one that runs as `uid`.
 *
 * `nobody` (65534) that has a number here is taken for the observer itself, though the kernel shows unmapped owners alike.
 */
export function observer(uid: number = process.geteuid!()): Observer {
  const unmapped = readUnmappedUid();
  return { uid: uid === unmapped && !isMapped(uid) ? undefined : uid, unmapped };
}

/** True if the user namespace of this process has the uid. */
function isMapped(uid: number): boolean {
  return readIdMap('self', 'uid_map').ranges.some(({ inside, count }) => uid >= inside && uid < inside + count);
}
