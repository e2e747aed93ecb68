/**
 * /proc/PID/uid_map and gid_map: which ids of a process's user namespace are which here. @see user_namespaces(7)
 *
 * A process chooses nothing in the text but the three numbers of each line, which the kernel prints.
 */

import { linesOf, otherForm, parseId, readProcRecords } from './text.ts';

/** `count` ids from `inside` (in the process's user namespace) are those from `outside`. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface IdMap {
  /** The file as it is, to compare with another process's as this one reads it. */
  readonly text: string;
  readonly ranges: readonly IdRange[];
  /** True where some id outside has none inside; such a one reads as the overflow id there. */
  readonly leavesUnmapped: boolean;
}

/** `4294967295` is no id: (uid_t) -1. */
const ALL_IDS = 0xffff_ffff;

/** @param pid a number, or `self` @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readIdMap(pid: number | 'self', file: 'uid_map' | 'gid_map'): IdMap {
  return parseIdMap(readProcRecords(`/proc/${pid}/${file}`));
}

/** @throws ERR_PROC where a line is not three numbers */
export function parseIdMap(text: string): IdMap {
  const ranges = linesOf(text, 'the id map').map((line): IdRange => {
    // Each number is padded with spaces to a width of ten.
    const numbers = line.split(' ').filter((part) => part !== '');
    const problem = 'the id map has a line of another form';
    const [inside, outside, count] = numbers.map((number) => parseId(number, problem));
    if (numbers.length !== 3 || inside === undefined || outside === undefined || count === undefined) {
      throw otherForm(problem);
    }
    return { inside, outside, count };
  });
  // The kernel refuses ranges that overlap, inside or outside, so they add up.
  const mapped = ranges.reduce((sum, { count }) => sum + count, 0);
  return { text, ranges, leavesUnmapped: mapped < ALL_IDS };
}
