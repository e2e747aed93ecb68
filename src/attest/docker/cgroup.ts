/**
 * Which container a process is in, by the cgroups that it is a member of: the kernel's word, which a process can't
 * change without rights over the cgroups themselves.
 *
 * A cgroup's *name* proves nothing yet: whom systemd delegated a subtree to may call a cgroup there as he likes. So the
 * name only says whom to ask the engine about, and {@link isSameContainer} compares with where the container really is.
 * What a process has mounted (its mountinfo) is not asked at all: in a user namespace of his own, any user of the host
 * can bind another container's cgroup.
 *
 * @see cgroups(7), /proc/PID/cgroup
 */

import { SidekeyError } from '../../base/errors.ts';
import { parseCgroupLines } from '../proc/cgroup.ts';

/** Where a process is, as this process's cgroup namespace shows it. */
export interface CgroupPlace {
  /** The id of the innermost container that its cgroups are named after; undefined where none is. */
  readonly id: string | undefined;
  /** By hierarchy (the controllers of cgroup v1; empty for v2): the path up to and including the part that is the id. */
  readonly containers: ReadonlyMap<string, string>;
  /** False where a path leads out of this process's cgroup namespace. */
  readonly inNamespace: boolean;
}

/**
 * The forms that name a container: `<id>` (cgroupfs), `docker-<id>.scope`, `libpod-<id>.scope`,
 * `cri-containerd-<id>.scope` (systemd), `libpod-payload-<id>` (Podman, split), `….slice:cri-containerd:<id>` (containerd).
 * A pod's (`….slice`) is no container's.
 */
const CONTAINER = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/;
/** Podman's and CRI-O's monitors run outside of the container that they are named after. */
const MONITOR = /(?:^|-)conmon-/;

/** Reads the text of `/proc/PID/cgroup`. @throws ERR_ATTESTATION_FAILED where it names two containers, ERR_PROC where it is none */
export function parseCgroup(text: string): CgroupPlace {
  const containers = new Map<string, string>();
  let id: string | undefined;
  let inNamespace = true;
  for (const { hierarchy, path } of parseCgroupLines(text)) {
    if (path === '/..' || path.startsWith('/../')) inNamespace = false;
    const found = innermost(path);
    if (found === undefined) continue;
    if (id !== undefined && id !== found.id) throw failed(`the caller is in two containers, ${id} and ${found.id}`);
    id = found.id;
    containers.set(hierarchy, found.path);
  }
  return { id, containers, inNamespace };
}

/** The last part of a path that names a container: with containers in containers that is the inner one. */
function innermost(path: string): { id: string; path: string } | undefined {
  const parts = path.split('/');
  for (let at = parts.length - 1; at > 0; at -= 1) {
    const id = CONTAINER.exec(parts[at]!)?.[1];
    if (id === undefined) continue;
    return MONITOR.test(parts[at]!) ? undefined : { id, path: parts.slice(0, at + 1).join('/') };
  }
  return undefined;
}

/**
 * True if a process is in the same container as another one that is known to be in it: not only in a cgroup of the same
 * name but in the very same one, or below it, in each hierarchy where the container has one.
 */
export function isSameContainer(place: CgroupPlace, known: CgroupPlace): boolean {
  if (place.id !== known.id || known.id === undefined) return false;
  return [...known.containers].every(([hierarchy, path]) => place.containers.get(hierarchy) === path);
}

/**
 * Where Docker (cgroupfs, systemd) and Podman (systemd, cgroupfs) put containers unless told otherwise, and beside the
 * container that Sidekey itself is in: cgroups above which all are root's, so that no user can make one of such a path.
 */
const OF_ENGINES =
  /^\/(?:docker\/|system\.slice\/docker-|machine\.slice\/libpod-|libpod_parent\/libpod-|\.\.\/(?:docker-|libpod-)?)[0-9a-f]{64}(?:\.scope)?$/;

/** False of a process in a cgroup that is named after a container, and that others than root may have made. */
export function isWhereEnginesPut({ containers }: CgroupPlace): boolean {
  return [...containers.values()].every((path) => OF_ENGINES.test(path));
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
