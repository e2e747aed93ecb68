/**
 * Which owner a caller's use is counted for; see `limits/owner.ts`.
 *
 * The cgroup is the kernel's word. A process can move only within a subtree that was delegated to its user, and what
 * systemd delegates to a user lies below `user-UID.slice`: there the user pays, whatever the cgroup is called.
 */

import { readable } from '../base/proc/text.ts';
import type { Owner, Owners } from '../limits/owner.ts';
import { otherContainer } from './contained.ts';
import { type CgroupLine, readCgroup } from './proc/cgroup.ts';
import type { SubordinateIds } from './subordinate-ids.ts';
import type { PeerCredentials } from './types.ts';

export type OwnerOf = (credentials: PeerCredentials) => Owner;

/** How long a process is taken to be in the same container, in milliseconds: to ask costs as much as to refuse. */
const REMEMBERED_MS = 1_000;
/** How many processes are remembered. */
const REMEMBERED = 1_000;

export function createOwnerOf(owners: Owners, subordinateIds: SubordinateIds): OwnerOf {
  const own = new Map((readable(() => readCgroup(process.pid)) ?? []).map(({ hierarchy, path }) => [hierarchy, path]));
  const remembered = new Map<number, { readonly uid: number; readonly owner: () => Owner; readonly at: number }>();

  return ({ pid, uid }) => {
    const now = performance.now();
    const known = remembered.get(pid);
    if (known !== undefined && known.uid === uid && now - known.at < REMEMBERED_MS) return known.owner();
    const owner = find(pid, uid);
    remembered.delete(pid);
    if (remembered.size >= REMEMBERED) remembered.delete(remembered.keys().next().value!);
    remembered.set(pid, { uid, owner, at: now });
    return owner();
  };

  /** The way to the owner, not the owner itself: its accounts may be forgotten while the process is remembered. */
  function find(pid: number, uid: number): () => Owner {
    const place = readable(() => placeOf(readCgroup(pid), own));
    const user = place?.user ?? subordinateIds.ownerOf(uid);
    const container = place?.container;
    return container === undefined ? () => owners.user(user) : () => owners.container(container, user);
  }
}

interface CallerPlace {
  /** The user whose slice it is in. */
  readonly user: number | undefined;
  /** The cgroup of its outermost container. */
  readonly container: string | undefined;
}

const USER_SLICE = /\/user-([0-9]{1,10})\.slice\//;

/** A pod's cgroup below that of all pods, which may have one for its class of service between. @see kubelet's cgroup drivers */
const POD = /^(?:\/[^/]+)?\/[^/]*pod[0-9a-f_-]{36}(?:\.slice)?(?=\/|$)/;

/** Each pod is an owner, not all of them together. */
function podBelow(path: string, container: string): string {
  if (!container.slice(container.lastIndexOf('/') + 1).startsWith('kubepods')) return '';
  return POD.exec(path.slice(path.indexOf(container) + container.length))?.[0] ?? '';
}

/** Where a process is, by the cgroups that it is a member of. @param own the path of Sidekey's own, by hierarchy */
export function placeOf(cgroups: readonly CgroupLine[], own: ReadonlyMap<string, string>): CallerPlace {
  for (const { hierarchy, path } of cgroups) {
    const container = otherContainer(path, own.get(hierarchy) ?? '/');
    const slice = USER_SLICE.exec(path);
    // A container may call its own cgroups as systemd calls those of the host's users.
    if (slice !== null && slice.index < (container?.length ?? path.length)) {
      return { user: Number(slice[1]), container: undefined };
    }
    if (container !== undefined) return { user: undefined, container: container + podBelow(path, container) };
  }
  return { user: undefined, container: undefined };
}
