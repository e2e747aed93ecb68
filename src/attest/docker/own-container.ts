/**
 * The container that Sidekey itself is in. Seen from a cgroup namespace of its own (what Docker gives a container by
 * default with cgroup v2), callers in that very container are in `/`, which has no id: it is found by what the engine
 * mounted for Sidekey. Those are this process's own mounts, so no caller has a hand in them.
 *
 * @see proc_pid_mountinfo(5), cgroup_namespaces(7)
 */

import { seesWholePaths } from '../proc/cgroup-namespace.ts';
import { type Mount, readOwnMounts } from '../proc/mountinfo.ts';

/** Files that engines mount from the container's own directory: Docker and Podman the first, Podman the second. */
const FROM_ENGINE: readonly string[] = ['/etc/hostname', '/run/.containerenv'];

/** The id; undefined outside of a container, or where a cgroup namespace hides nothing. */
export function readOwnContainer(): string | undefined {
  try {
    return seesWholePaths() ? undefined : ownContainerId(readOwnMounts());
  } catch {
    return undefined;
  }
}

/** The id in the paths that those files were mounted from; undefined where there is none, or more than one. */
export function ownContainerId(mounts: readonly Mount[]): string | undefined {
  const ids = new Set<string>();
  for (const { root, mountPoint } of mounts) {
    if (!FROM_ENGINE.includes(mountPoint)) continue;
    for (const part of root.split('/')) if (/^[0-9a-f]{64}$/.test(part)) ids.add(part);
  }
  return ids.size === 1 ? [...ids][0] : undefined;
}
