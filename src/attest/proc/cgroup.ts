/**
 * /proc/PID/cgroup: which cgroups a process is a member of. @see cgroups(7)
 *
 * Whoever may make a cgroup chooses its name. The kernel refuses `\n` in one and escapes nothing: every other byte stands
 * as it is, `:`, `\` and `\r` too. The name of a cgroup v1 hierarchy has letters, digits, `_`, `.` and `-` alone.
 */

import { linesOf, otherForm, readProcFile } from '../../base/proc/text.ts';

export interface CgroupLine {
  /** The controllers of cgroup v1, or `name=…`; empty for v2. */
  readonly hierarchy: string;
  /**
   * From this process's cgroup namespace's root: begins with `/`, and with `/..` where it leads out of that; latin1. A v2
   * cgroup that was removed ends in ` (deleted)`, which may be part of a name too.
   */
  readonly path: string;
}

/** @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readCgroup(pid: number): CgroupLine[] {
  return parseCgroupLines(readCgroupText(pid));
}

/** The file as it is, to compare with another reading. @throws ENOENT, ESRCH */
export function readCgroupText(pid: number): string {
  return readProcFile(`/proc/${pid}/cgroup`);
}

/** Lines `NUMBER:HIERARCHY:PATH`. @throws ERR_PROC where a line has another form, or a hierarchy is there twice */
export function parseCgroupLines(text: string): CgroupLine[] {
  const seen = new Set<string>();
  return linesOf(text, '/proc/PID/cgroup').map((line) => {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    const number = line.slice(0, Math.max(first, 0));
    const hierarchy = line.slice(first + 1, second);
    const path = line.slice(second + 1);
    if (second === -1 || !/^[0-9]{1,10}$/.test(number) || !path.startsWith('/')) {
      throw otherForm('/proc/PID/cgroup has a line of another form');
    }
    if (seen.has(hierarchy)) throw otherForm(`/proc/PID/cgroup has more than one line of hierarchy "${hierarchy}"`);
    seen.add(hierarchy);
    return { hierarchy, path };
  });
}
