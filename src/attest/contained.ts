/**
 * Whether a process is in a container that Sidekey itself is not in. Root of a container may take any uid there and put
 * any file at any path, so facts of the unix attestor are no boundary for its processes.
 *
 * Three signs, each compared with Sidekey's own and each readable without any right over the process: its pids, the uid
 * map of its user namespace, and its cgroups. The links of /proc/PID/ns are not read, since that takes CAP_SYS_PTRACE; a
 * mount namespace is no sign, since hardened units and snaps have one too. A process that has none of the three, such as
 * in a container with the host's pid and user namespace and no cgroup of its own, can't be told from one of the host.
 *
 * @see pid_namespaces(7), user_namespaces(7), cgroups(7)
 */

import { readIdMap } from '../base/proc/id-map.ts';
import { readable } from '../base/proc/text.ts';
import { currentTurn } from '../base/turn.ts';
import { type CgroupLine, parseCgroupLines, readCgroupText } from './proc/cgroup.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';

/** The facts of a process that are compared; undefined where one can't be read. */
export interface ContainmentFacts {
  /** In how many pid namespaces the process has a pid, counted from the one of /proc on. */
  readonly pidNamespaces: number | undefined;
  /** The text of its uid_map. */
  readonly uidMap: string | undefined;
  readonly cgroups: readonly CgroupLine[] | undefined;
}

/** The same of Sidekey itself. Undefined: the kernel has no such thing, so that nobody differs in it. */
export type OwnFacts = ContainmentFacts;

/** Says why a process counts as contained; undefined where it does not. @param status as it was just read, if it was */
export type WhyContained = (
  pid: number,
  status: Pick<ProcessStatus, 'pids' | 'mainThreadEnded'> | undefined,
) => string | undefined;

/** The reasons, a closed set: callers with equal facts and equal reasons share what is worked out for them. */
export const REASONS = {
  pid: 'its pid namespace is below that of Sidekey',
  user: 'its user namespace maps other ids than that of Sidekey',
  cgroup: 'its cgroup was made by a container runtime',
  unseen: 'it is in a pid namespace that Sidekey does not see',
  unreadable: 'what tells whether it is in a container cannot be read',
} as const;

/** Decides by what was read. Whatever can't be read counts as contained. */
export function compareContainment(caller: ContainmentFacts, own: OwnFacts): string | undefined {
  if (own.pidNamespaces !== undefined) {
    // Fewer than its reader can't be.
    if (caller.pidNamespaces === undefined || caller.pidNamespaces < own.pidNamespaces) return REASONS.unreadable;
    if (caller.pidNamespaces > own.pidNamespaces) return REASONS.pid;
  }
  if (own.cgroups !== undefined) {
    if (caller.cgroups === undefined) return REASONS.unreadable;
    const places = new Map(own.cgroups.map(({ hierarchy, path }) => [hierarchy, path]));
    const isBelow = ({ hierarchy, path }: CgroupLine) => isInOtherContainer(path, places.get(hierarchy) ?? '/');
    if (caller.cgroups.some(isBelow)) return REASONS.cgroup;
  }
  // Last: the admin socket lets this sign pass for processes outside of Sidekey's user namespace, and no other.
  if (own.uidMap !== undefined) {
    if (caller.uidMap === undefined) return REASONS.unreadable;
    if (caller.uidMap !== own.uidMap) return REASONS.user;
  }
  return undefined;
}

/**
 * True if a cgroup's path, below what it has in common with Sidekey's own, has a part that a container runtime made. So
 * the processes of Sidekey's own container are in none. Where Sidekey has a cgroup namespace of its own, its path is
 * `/`, that of another container `/../<id>`.
 */
export function isInOtherContainer(path: string, own: string): boolean {
  return otherContainer(path, own) !== undefined;
}

/** The path of the outermost cgroup that is so, of the parts of `path`; undefined where none is. */
export function otherContainer(path: string, own: string): string | undefined {
  // As most are, and with cgroup v1 in most hierarchies.
  if (path === own) return undefined;
  const [parts, ours] = [partsOf(path), partsOf(own)];
  let common = 0;
  while (common < parts.length && common < ours.length && parts[common] === ours[common]) common += 1;
  for (let at = common; at < parts.length; at += 1) {
    if (isOfRuntime(parts[at]!, parts[at - 1])) return `/${parts.slice(0, at + 1).join('/')}`;
  }
  return undefined;
}

/** How many ids the host's own user namespace maps, as no other one does that its users could make. */
const ALL_IDS = 0xffff_ffff;

/**
 * True of a process in the host's own user namespace. It reads another uid_map than a Sidekey in a user namespace, and is
 * outside of that, not in a container. @throws ENOENT, ESRCH; ERR_PROC
 */
export function isInHostUserNamespace(pid: number): boolean {
  return readIdMap(pid, 'uid_map').ranges.some(({ count }) => count === ALL_IDS);
}

/** What the kernel adds to the path of a cgroup that was removed. */
const REMOVED = ' (deleted)';

function partsOf(path: string): string[] {
  const whole = path.endsWith(REMOVED) ? path.slice(0, -REMOVED.length) : path;
  return whole.split('/').filter((part) => part !== '');
}

/** `<id>`, `docker-<id>.scope`, `libpod-<id>`, `….slice:cri-containerd:<id>` and the like. */
const WITH_ID = /(?:^|[-:])[0-9a-f]{64}(?:\.scope)?$/;

/** By the names that Docker, Podman, containerd, CRI-O, Kubernetes, LXC, systemd-nspawn and libvirt give. */
function isOfRuntime(part: string, above: string | undefined): boolean {
  return (
    WITH_ID.test(part) ||
    part.startsWith('kubepods') ||
    part.startsWith('lxc.payload') ||
    above === 'lxc' ||
    above === 'lxc.payload' ||
    (part.startsWith('machine-') && part.endsWith('.scope'))
  );
}

/** So many texts of cgroups. */
const REMEMBERED = 256;

/**
 * Reads Sidekey's own facts, and compares processes with them, reading the facts of each anew at each call.
 * @throws ERR_PROC, or the error of open(2), where Sidekey's own can't be read
 */
export function createWhyContained(): WhyContained {
  const own = process.pid;
  const pidNamespaces = readStatus(own).pids.length;
  const uidMap = ifThere(() => readIdMap(own, 'uid_map').text);
  /** Parsed once: callers are in few different cgroups. */
  const parsed = new Map<string, readonly CgroupLine[]>();
  const cgroupsOf = (id: number): readonly CgroupLine[] => {
    const text = readCgroupText(id);
    const known = parsed.get(text);
    if (known !== undefined) return known;
    if (parsed.size === REMEMBERED) parsed.clear();
    const lines = parseCgroupLines(text);
    parsed.set(text, lines);
    return lines;
  };
  let [turn, cgroups] = [currentTurn(), ifThere(() => cgroupsOf(own))];
  /** A manager may move Sidekey to another cgroup. */
  const cgroupsNow = () => {
    if (cgroups !== undefined && turn !== currentTurn()) [turn, cgroups] = [currentTurn(), cgroupsOf(own)];
    return cgroups;
  };
  return (pid, status) => {
    if (pid === 0) return REASONS.unseen;
    const caller = {
      // Without its main thread it does not say where it is.
      pidNamespaces: status === undefined || status.mainThreadEnded ? undefined : status.pids.length,
      uidMap: uidMap === undefined ? undefined : readable(() => readIdMap(pid, 'uid_map').text),
      cgroups: cgroups === undefined ? undefined : readable(() => cgroupsOf(pid)),
    };
    return compareContainment(caller, { pidNamespaces, uidMap, cgroups: cgroupsNow() });
  };
}

/** For a server that treats callers in containers as those outside. */
export const nobodyContained: WhyContained = () => undefined;

/** Without the file of Sidekey's own process the kernel has no such namespaces at all. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
