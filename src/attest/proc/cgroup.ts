/**
 * /proc/PID/cgroup: the cgroups of a process. @see cgroups(7)
 *
 * The name of a cgroup is chosen by the process that makes it. The kernel refuses `\n` in names and escapes nothing, so
 * all other bytes appear unchanged, including `:`, `\` and `\r`. The name of a cgroup v1 hierarchy consists of letters,
 * digits, `_`, `.` and `-`.
 */

import { linesOf, otherForm, readProcFile } from '../../base/index.ts';

export interface CgroupLine {
  /** The controllers of a cgroup v1 hierarchy, or its `name=…`; empty for v2. */
  readonly hierarchy: string;
  /**
   * The path, relative to the root of Sidekey's cgroup namespace; latin1. It begins with `/`, or with `/..` if it is
   * outside that root. The path of a removed v2 cgroup ends with ` (deleted)`, but a name can also end like this.
   */
  readonly path: string;
}

/** @throws ENOENT, ESRCH; ERR_PROC if the file is malformed */
export function readCgroup(pid: number): CgroupLine[] {
  return parseCgroupLines(readCgroupText(pid));
}

/** The unparsed text, to compare it with that of another read. @throws ENOENT, ESRCH */
export function readCgroupText(pid: number): string {
  return readProcFile(`/proc/${pid}/cgroup`);
}

/** Parses lines `NUMBER:HIERARCHY:PATH`. @throws ERR_PROC if a line is malformed or a hierarchy occurs twice */
export function parseCgroupLines(text: string): CgroupLine[] {
  const seen = new Set<string>();
  return linesOf(text, '/proc/PID/cgroup').map((line) => {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    const number = line.slice(0, Math.max(first, 0));
    const hierarchy = line.slice(first + 1, second);
    const path = line.slice(second + 1);
    if (second === -1 || !/^[0-9]{1,10}$/.test(number) || !path.startsWith('/')) {
      throw otherForm('/proc/PID/cgroup has a malformed line');
    }
    if (seen.has(hierarchy)) throw otherForm(`/proc/PID/cgroup has more than one line of hierarchy "${hierarchy}"`);
    seen.add(hierarchy);
    return { hierarchy, path };
  });
}
