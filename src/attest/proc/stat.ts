/**
 * /proc/PID/stat: one line of numbers, after the process's name in parentheses. @see proc_pid_stat(5)
 *
 * The kernel does not escape the name here, so it can contain `)` and `\n`. The process has no influence on the text
 * after the last `)`.
 */

import { otherForm, readProcFile } from '../../base/index.ts';

export interface ProcessStat {
  /** True if the main thread has ended; the process waits to be reaped, or for its other threads. */
  readonly hasEnded: boolean;
  readonly parent: number;
  /** The pid of the session leader. */
  readonly session: number;
  /** The start of the process by CLOCK_BOOTTIME of this time namespace, in hundredths of a second, rounded down. */
  readonly startTicks: number;
}

/** @throws ENOENT, ESRCH; ERR_PROC if the file is malformed */
export function readStat(pid: number): ProcessStat {
  return parseStat(readProcFile(`/proc/${pid}/stat`));
}

/** @throws ERR_PROC if the file is malformed */
export function parseStat(text: string): ProcessStat {
  const end = text.lastIndexOf(')');
  // Members have the numbers of the man page; members[0] is the third one, the state.
  const members = text.slice(end + 2).split(' ');
  const member = (number: number): number => {
    const value = members[number - 3];
    if (end === -1 || value === undefined || !/^[0-9]{1,15}$/.test(value))
      throw otherForm('/proc/PID/stat is malformed');
    return Number(value);
  };
  const state = members[0];
  if (end === -1 || state === undefined || !/^[A-Za-z]$/.test(state)) throw otherForm('/proc/PID/stat is malformed');
  const hasEnded = state === 'Z' || state === 'X' || state === 'x';
  return { hasEnded, parent: member(4), session: member(6), startTicks: member(22) };
}
