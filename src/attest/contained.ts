/**
 * Detects processes in containers, except in Sidekey's own container. Root in a container can take any uid there and
 * put any file at any path, so the facts of the unix attestor do not restrict its processes.
 *
 * Three facts of the process are compared with Sidekey's own: its pids in nested pid namespaces, the uid map of its
 * user namespace, and its cgroups. All three can be read without privileges over the process; the links of /proc/PID/ns
 * can't, as they need CAP_SYS_PTRACE. Mount namespaces are not compared, because hardened units and snaps have their
 * own too. Not detected: a container with the host's pid and user namespaces and without a cgroup of its own.
 *
 * @see pid_namespaces(7), user_namespaces(7), cgroups(7)
 */

import { currentTurn, readable, readIdMap } from '../base/index.ts';
import { type CgroupLine, parseCgroupLines, readCgroupText } from './proc/cgroup.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';

/** The facts of a process that are compared; a fact that can't be read is undefined. */
export interface ContainmentFacts {
  /** The number of pid namespaces that contain the process, from that of /proc inwards. */
  readonly pidNamespaces: number | undefined;
  /** The text of its uid_map. */
  readonly uidMap: string | undefined;
  readonly cgroups: readonly CgroupLine[] | undefined;
}

/** Sidekey's own facts. One that is undefined is not compared, because the kernel lacks the feature. */
export type OwnFacts = ContainmentFacts;

/**
 * Returns the reason why a process counts as contained; undefined if it does not.
 * @param status just read from /proc/PID/status; undefined if it could not be read
 */
export type WhyContained = (
  pid: number,
  status: Pick<ProcessStatus, 'pids' | 'mainThreadEnded'> | undefined,
) => string | undefined;

/** A fixed set, because callers with equal selectors and equal reasons share the work for them. */
export const REASONS = {
  pid: 'its pid namespace is below that of Sidekey',
  user: 'its user namespace maps other ids than that of Sidekey',
  cgroup: 'its cgroup was made by a container runtime',
  unseen: 'it is in a pid namespace that Sidekey does not see',
  unreadable: 'its pid namespace, user namespace or cgroup cannot be read',
} as const;

/**
 * Returns the reason why the caller counts as contained, or undefined. A fact that can't be read counts as contained.
 */
export function compareContainment(caller: ContainmentFacts, own: OwnFacts): string | undefined {
  if (own.pidNamespaces !== undefined) {
    // /proc shows only processes in Sidekey's pid namespace or below, so fewer is impossible.
    if (caller.pidNamespaces === undefined || caller.pidNamespaces < own.pidNamespaces) return REASONS.unreadable;
    if (caller.pidNamespaces > own.pidNamespaces) return REASONS.pid;
  }
  if (own.cgroups !== undefined) {
    if (caller.cgroups === undefined) return REASONS.unreadable;
    const ownPaths = new Map(own.cgroups.map(({ hierarchy, path }) => [hierarchy, path]));
    const isInOther = ({ hierarchy, path }: CgroupLine) => isInOtherContainer(path, ownPaths.get(hierarchy) ?? '/');
    if (caller.cgroups.some(isInOther)) return REASONS.cgroup;
  }
  // Last, because admin-caller.ts ignores only this reason, for processes in the host's user namespace.
  if (own.uidMap !== undefined) {
    if (caller.uidMap === undefined) return REASONS.unreadable;
    if (caller.uidMap !== own.uidMap) return REASONS.user;
  }
  return undefined;
}

/**
 * True if a cgroup path has a part with a container runtime's name, below the parts that it shares with Sidekey's own
 * path. So processes in Sidekey's own container are not in another one. If Sidekey has its own cgroup namespace, its
 * path is `/` and that of another container `/../<id>`.
 */
export function isInOtherContainer(path: string, own: string): boolean {
  return otherContainer(path, own) !== undefined;
}

/**
 * The path of the outermost other container's cgroup in `path`, see {@link isInOtherContainer}; undefined if there is
 * none.
 */
export function otherContainer(path: string, own: string): string | undefined {
  // The common case.
  if (path === own) return undefined;
  const [parts, ours] = [partsOf(path), partsOf(own)];
  let common = 0;
  while (common < parts.length && common < ours.length && parts[common] === ours[common]) common += 1;
  for (let at = common; at < parts.length; at += 1) {
    if (isOfRuntime(parts[at]!, parts[at - 1])) return `/${parts.slice(0, at + 1).join('/')}`;
  }
  return undefined;
}

/** The number of ids that the initial user namespace maps. Users can't create a namespace that maps as many. */
const ALL_IDS = 0xffff_ffff;

/**
 * True if the process is in the host's initial user namespace. If Sidekey is in another one, the uid maps differ
 * although the process is not in a container. @throws ENOENT, ESRCH; ERR_PROC
 */
export function isInHostUserNamespace(pid: number): boolean {
  return readIdMap(pid, 'uid_map').ranges.some(({ count }) => count === ALL_IDS);
}

/** Suffix that the kernel adds to the path of a removed cgroup. */
const REMOVED = ' (deleted)';

function partsOf(path: string): string[] {
  const whole = path.endsWith(REMOVED) ? path.slice(0, -REMOVED.length) : path;
  return whole.split('/').filter((part) => part !== '');
}

/** `<id>`, `docker-<id>.scope`, `libpod-<id>`, `….slice:cri-containerd:<id>` and the like. */
const WITH_ID = /(?:^|[-:])[0-9a-f]{64}(?:\.scope)?$/;

/** True for cgroup names of Docker, Podman, containerd, CRI-O, Kubernetes, LXC, systemd-nspawn and libvirt. */
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

/** Maximum number of parsed cgroup files in the cache. */
const CACHED = 256;

/**
 * Reads Sidekey's own facts. Each call of the returned function reads the facts of one process and compares them.
 * @throws ERR_PROC or an error of open(2) if Sidekey's own facts can't be read
 */
export function createWhyContained(): WhyContained {
  const own = process.pid;
  const pidNamespaces = readStatus(own).pids.length;
  const uidMap = ifThere(() => readIdMap(own, 'uid_map').text);
  /** Callers are in few different cgroups, so parsed files are cached by their text. */
  const parsed = new Map<string, readonly CgroupLine[]>();
  const cgroupsOf = (id: number): readonly CgroupLine[] => {
    const text = readCgroupText(id);
    const known = parsed.get(text);
    if (known !== undefined) return known;
    if (parsed.size === CACHED) parsed.clear();
    const lines = parseCgroupLines(text);
    parsed.set(text, lines);
    return lines;
  };
  let [turn, cgroups] = [currentTurn(), ifThere(() => cgroupsOf(own))];
  /** Read again in each turn, because a process manager may move Sidekey to another cgroup. */
  const cgroupsNow = () => {
    if (cgroups !== undefined && turn !== currentTurn()) [turn, cgroups] = [currentTurn(), cgroupsOf(own)];
    return cgroups;
  };
  return (pid, status) => {
    if (pid === 0) return REASONS.unseen;
    const caller = {
      // Once the main thread has ended, cgroup v1 shows `/` instead of the cgroup: undefined counts as contained.
      pidNamespaces: status === undefined || status.mainThreadEnded ? undefined : status.pids.length,
      uidMap: uidMap === undefined ? undefined : readable(() => readIdMap(pid, 'uid_map').text),
      cgroups: cgroups === undefined ? undefined : readable(() => cgroupsOf(pid)),
    };
    return compareContainment(caller, { pidNamespaces, uidMap, cgroups: cgroupsNow() });
  };
}

/** For a server that treats callers in containers like others (`--allow-contained`). */
export const nobodyContained: WhyContained = () => undefined;

/** Returns undefined if the file does not exist for Sidekey's own process: the kernel lacks the feature. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
