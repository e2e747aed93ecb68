/**
 * Units of the system manager, by names of cgroups. The manager makes a cgroup for each unit that has processes, below those
 * of its slices: `/system.slice/web.service`. Below a unit's own cgroup, names are chosen by whomever it was delegated to,
 * such as by the manager of a user (`/user.slice/user-1000.slice/user@1000.service/app.slice/…`), and say nothing.
 *
 * @see systemd.unit(5), systemd.slice(5), cg_path_get_unit() in systemd's src/basic/cgroup-util.c
 */

import { isInOtherContainer } from '../contained.ts';
import type { CgroupLine } from '../proc/cgroup.ts';

/** The types of units whose processes have a cgroup; slices have none of their own. */
export const TYPES_WITH_PROCESSES = ['service', 'scope', 'socket', 'mount', 'swap'] as const;

const MAX_LENGTH = 255;
const NAME = /^[\w:.\\-][\w:.\\@-]*\.([a-z]+)$/;

/** True if a unit may have this name that has processes: `web.service`, `getty@tty1.service`; no template (`getty@.service`). */
export function isUnitWithProcesses(name: string): boolean {
  return (TYPES_WITH_PROCESSES as readonly (string | undefined)[]).includes(typeOf(name));
}

/**
 * The unit that a process belongs to, by the cgroups that it is a member of; undefined where there is none, where the
 * process is in a container, or where a path leads out of the reader's cgroup namespace.
 *
 * @param cgroups as read in the first cgroup namespace: in another one, a path does not begin at the manager's cgroup
 */
export function unitOf(cgroups: readonly CgroupLine[]): string | undefined {
  // In any hierarchy: a runtime need not put its containers into their own cgroup in each.
  if (cgroups.some(({ path }) => isInOtherContainer(path, '/'))) return undefined;
  const line = lineOf(cgroups, 'name=systemd') ?? lineOf(cgroups, '');
  const unit = line?.path.split('/').slice(1).map(unescapeName).find(isNoSlice);
  return unit !== undefined && isUnitWithProcesses(unit) ? unit : undefined;
}

function lineOf(cgroups: readonly CgroupLine[], hierarchy: string): CgroupLine | undefined {
  return cgroups.find((line) => line.hierarchy === hierarchy);
}

/** The manager puts `_` before names that the kernel could take for its own files, and before `_` itself. */
function unescapeName(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}

/** A slice's name has no instance. */
function isNoSlice(name: string): boolean {
  return typeOf(name) !== 'slice' || name.includes('@');
}

/** The type of a unit that may have this name; undefined where none may. */
function typeOf(name: string): string | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  const type = NAME.exec(name)?.[1];
  const isTemplate = type !== undefined && name.indexOf('@') === name.length - type.length - 2;
  return isTemplate ? undefined : type;
}
