/**
 * Reads /proc/PID/uid_map and gid_map, which map the ids of a process's user namespace to those seen here.
 * @see user_namespaces(7)
 *
 * The kernel prints the text; a process can influence only the three numbers of each line.
 */

import { linesOf, otherForm, parseId, readProcRecords } from './text.ts';

/** The `count` ids from `inside` (in the process's user namespace) equal those from `outside`. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface IdMap {
  /** The unchanged text, for comparison with another process's map. */
  readonly text: string;
  readonly ranges: readonly IdRange[];
  /** True if some outside id has no inside id; it reads as the overflow id there. */
  readonly leavesUnmapped: boolean;
}

/** `4294967295` is not an id: (uid_t) -1. */
const ALL_IDS = 0xffff_ffff;

/** @param pid a number, or `self` @throws ENOENT, ESRCH; ERR_PROC if the file has another form */
export function readIdMap(pid: number | 'self', file: 'uid_map' | 'gid_map'): IdMap {
  return parseIdMap(readProcRecords(`/proc/${pid}/${file}`));
}

/** @throws ERR_PROC if a line is not three numbers */
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
  // The kernel refuses overlapping ranges, so the counts add up.
  const mapped = ranges.reduce((sum, { count }) => sum + count, 0);
  return { text, ranges, leavesUnmapped: mapped < ALL_IDS };
}
