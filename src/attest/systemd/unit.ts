/**
 * Finds units of the system manager in cgroup paths. The manager makes a cgroup for each unit with processes, below the
 * cgroups of its slices: `/system.slice/web.service`. Names below a unit's own cgroup are ignored, because the subtree
 * may be delegated, for example to a user's manager (`/user.slice/user-1000.slice/user@1000.service/app.slice/…`),
 * which can choose any names.
 *
 * @see systemd.unit(5), systemd.slice(5), cg_path_get_unit() in systemd's src/basic/cgroup-util.c
 */

import { isInOtherContainer } from '../contained.ts';
import type { CgroupLine } from '../proc/cgroup.ts';

/** The types of units that have processes; a slice only contains other units. */
export const TYPES_WITH_PROCESSES = ['service', 'scope', 'socket', 'mount', 'swap'] as const;

const MAX_LENGTH = 255;
const NAME = /^[\w:.\\-][\w:.\\@-]*\.([a-z]+)$/;

/**
 * True for a valid name of a unit with processes: `web.service`, `getty@tty1.service`, but no template
 * (`getty@.service`).
 */
export function isUnitWithProcesses(name: string): boolean {
  return (TYPES_WITH_PROCESSES as readonly (string | undefined)[]).includes(typeOf(name));
}

/**
 * The unit of a process; undefined if it has none, is in a container, or is outside the reader's cgroup namespace
 * (`/..`).
 *
 * @param cgroups as read in the first cgroup namespace; in others, paths are not relative to the manager's cgroup
 */
export function unitOf(cgroups: readonly CgroupLine[]): string | undefined {
  // All hierarchies, because a runtime may put its containers into cgroups of their own in some hierarchies only.
  if (cgroups.some(({ path }) => isInOtherContainer(path, '/'))) return undefined;
  const line = lineOf(cgroups, 'name=systemd') ?? lineOf(cgroups, '');
  const unit = line?.path.split('/').slice(1).map(unescapeName).find(isNoSlice);
  return unit !== undefined && isUnitWithProcesses(unit) ? unit : undefined;
}

function lineOf(cgroups: readonly CgroupLine[], hierarchy: string): CgroupLine | undefined {
  return cgroups.find((line) => line.hierarchy === hierarchy);
}

/** The manager adds `_` to names that could collide with files of the kernel, and to names that begin with `_`. */
function unescapeName(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}

/** Names of slices have no instance, so a name with `@` is not a slice. */
function isNoSlice(name: string): boolean {
  return typeOf(name) !== 'slice' || name.includes('@');
}

/** The type in a unit's name; undefined if the name is invalid or a template. */
function typeOf(name: string): string | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  const type = NAME.exec(name)?.[1];
  const isTemplate = type !== undefined && name.indexOf('@') === name.length - type.length - 2;
  return isTemplate ? undefined : type;
}
