/**
 * Finds the container that Sidekey is in. If Sidekey has its own cgroup namespace, which is Docker's default with
 * cgroup v2, callers in the same container have the cgroup path `/`, without an id. The id is found in the sources of
 * the files that the engine mounted for Sidekey; callers can't influence these mounts.
 *
 * @see proc_pid_mountinfo(5), cgroup_namespaces(7)
 */

import { seesWholePaths } from '../proc/cgroup-namespace.ts';
import { type Mount, readOwnMounts } from '../proc/mountinfo.ts';

/**
 * Files that engines mount from a directory named after the container: the first by Docker and Podman, the second by
 * Podman.
 */
const FROM_ENGINE: readonly string[] = ['/etc/hostname', '/run/.containerenv'];

/** The id; undefined outside containers, and if Sidekey sees whole cgroup paths, which contain the id. */
export function readOwnContainer(): string | undefined {
  try {
    return seesWholePaths() ? undefined : ownContainerId(readOwnMounts());
  } catch {
    return undefined;
  }
}

/** The id in the sources of those mounts; undefined if there is none, or more than one. */
export function ownContainerId(mounts: readonly Mount[]): string | undefined {
  const ids = new Set<string>();
  for (const { root, mountPoint } of mounts) {
    if (!FROM_ENGINE.includes(mountPoint)) continue;
    for (const part of root.split('/')) if (/^[0-9a-f]{64}$/.test(part)) ids.add(part);
  }
  return ids.size === 1 ? [...ids][0] : undefined;
}
