/**
 * Finds the container of a process by its cgroups. They come from the kernel, and a process can't change them without
 * write access to the cgroups.
 *
 * The *name* of a cgroup proves nothing, because a user to whom systemd delegated a subtree can choose any names in it.
 * The name only determines which container the engine is asked about; {@link isSameContainer} then compares the cgroup
 * with that of the container's main process. The mounts of the process (mountinfo) are not used: in a user namespace,
 * any user of the host can mount another container's cgroup.
 *
 * @see cgroups(7), /proc/PID/cgroup
 */

import { SidekeyError } from '../../base/index.ts';
import { parseCgroupLines } from '../proc/cgroup.ts';

/** The cgroups of a process, as seen from Sidekey's cgroup namespace. */
export interface CgroupPlace {
  /** The id of the innermost container after which its cgroups are named; undefined if there is none. */
  readonly id: string | undefined;
  /** By hierarchy (the controllers of cgroup v1; empty for v2): the path up to and including the part with the id. */
  readonly containers: ReadonlyMap<string, string>;
  /** False if a path is outside Sidekey's cgroup namespace. */
  readonly inNamespace: boolean;
}

/**
 * Cgroup names of containers: `<id>` (cgroupfs), `docker-<id>.scope`, `libpod-<id>.scope`, `cri-containerd-<id>.scope`
 * (systemd), `libpod-payload-<id>` (Podman, split), `….slice:cri-containerd:<id>` (containerd). The cgroup of a pod
 * (`….slice`) is not that of a container.
 */
const CONTAINER = /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/;
/** Monitors of Podman and CRI-O run outside of the container after which their cgroup is named. */
const MONITOR = /(?:^|-)conmon-/;

/**
 * Parses the text of `/proc/PID/cgroup`.
 * @throws ERR_ATTESTATION_FAILED if it names two containers, ERR_PROC if it is malformed
 */
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

/** The last part of a path that names a container, which is the innermost one if containers are nested. */
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
 * True if a process is in the same container as `known`, a process of that container: in each hierarchy in which the
 * container has a cgroup, it is in the same cgroup or below, and not only in one with the same name.
 */
export function isSameContainer(place: CgroupPlace, known: CgroupPlace): boolean {
  if (place.id !== known.id || known.id === undefined) return false;
  return [...known.containers].every(([hierarchy, path]) => place.containers.get(hierarchy) === path);
}

/**
 * The default cgroups of containers of Docker (cgroupfs, systemd) and Podman (systemd, cgroupfs), also relative to
 * Sidekey's own container. All cgroups above them belong to root, so no user can make a cgroup with such a path.
 */
const OF_ENGINES =
  /^\/(?:docker\/|system\.slice\/docker-|machine\.slice\/libpod-|libpod_parent\/libpod-|\.\.\/(?:docker-|libpod-)?)[0-9a-f]{64}(?:\.scope)?$/;

/**
 * False if the process is in a cgroup that is named after a container but may have been made by a user other than root.
 */
export function isWhereEnginesPut({ containers }: CgroupPlace): boolean {
  return [...containers.values()].every((path) => OF_ENGINES.test(path));
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
