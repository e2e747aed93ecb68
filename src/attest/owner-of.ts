/**
 * Finds the owner that a caller's use is charged to; see `limits/owner.ts`.
 *
 * The cgroup comes from the kernel. A process can move only within a subtree that is delegated to its user. The subtree
 * that systemd delegates to a user is below `user-UID.slice`, so the user is charged there, whatever the name of the
 * cgroup.
 */

import { readable } from '../base/index.ts';
import type { Owner, Owners } from '../limits/index.ts';
import { otherContainer } from './contained.ts';
import { type CgroupLine, readCgroup } from './proc/cgroup.ts';
import type { SubordinateIds } from './subordinate-ids.ts';
import type { PeerCredentials } from './types.ts';

export type OwnerOf = (credentials: PeerCredentials) => Owner;

/** How long a process's owner is cached, in milliseconds, because finding it costs as much as refusing a connection. */
const CACHED_MS = 1_000;
/** Maximum number of cached processes. */
const CACHED = 1_000;

export function createOwnerOf(owners: Owners, subordinateIds: SubordinateIds): OwnerOf {
  const own = new Map((readable(() => readCgroup(process.pid)) ?? []).map(({ hierarchy, path }) => [hierarchy, path]));
  const cache = new Map<number, { readonly uid: number; readonly owner: () => Owner; readonly at: number }>();

  return ({ pid, uid }) => {
    const now = performance.now();
    const known = cache.get(pid);
    if (known !== undefined && known.uid === uid && now - known.at < CACHED_MS) return known.owner();
    const owner = find(pid, uid);
    cache.delete(pid);
    if (cache.size >= CACHED) cache.delete(cache.keys().next().value!);
    cache.set(pid, { uid, owner, at: now });
    return owner();
  };

  /** Returns a function, because `Owners` may drop the owner's accounts while the process is cached. */
  function find(pid: number, uid: number): () => Owner {
    const place = readable(() => placeOf(readCgroup(pid), own));
    const user = place?.user ?? subordinateIds.ownerOf(uid);
    const container = place?.container;
    return container === undefined ? () => owners.user(user) : () => owners.container(container, user);
  }
}

interface CallerPlace {
  /** The uid of the `user-UID.slice` that contains it. */
  readonly user: number | undefined;
  /** The cgroup of its outermost container; for Kubernetes, of its pod. */
  readonly container: string | undefined;
}

const USER_SLICE = /\/user-([0-9]{1,10})\.slice\//;

/**
 * A pod's cgroup, relative to that of all pods; there may be one for its QoS class in between.
 * @see kubelet's cgroup drivers
 */
const POD = /^(?:\/[^/]+)?\/[^/]*pod[0-9a-f_-]{36}(?:\.slice)?(?=\/|$)/;

/** The rest of the path of a pod's cgroup, because each pod is an owner; empty for other containers. */
function podBelow(path: string, container: string): string {
  if (!container.slice(container.lastIndexOf('/') + 1).startsWith('kubepods')) return '';
  return POD.exec(path.slice(path.indexOf(container) + container.length))?.[0] ?? '';
}

/** The user slice or container of a process. @param own Sidekey's own cgroup paths by hierarchy */
export function placeOf(cgroups: readonly CgroupLine[], own: ReadonlyMap<string, string>): CallerPlace {
  for (const { hierarchy, path } of cgroups) {
    const container = otherContainer(path, own.get(hierarchy) ?? '/');
    const slice = USER_SLICE.exec(path);
    // Only a slice above the container counts: a container can give its own cgroups any name.
    if (slice !== null && slice.index < (container?.length ?? path.length)) {
      return { user: Number(slice[1]), container: undefined };
    }
    if (container !== undefined) return { user: undefined, container: container + podBelow(path, container) };
  }
  return { user: undefined, container: undefined };
}
