/**
 * /proc/PID/stat: one line of numbers, after the process's name in parentheses. @see proc_pid_stat(5)
 *
 * In the name the kernel escapes nothing here, `)` and `\n` neither; what follows its last `)` is the kernel's own.
 */

import { otherForm, readProcFile } from '../../base/proc/text.ts';

export interface ProcessStat {
  /** Its first thread has ended: it waits to be reaped, or for its other threads. */
  readonly hasEnded: boolean;
  readonly parent: number;
  /** Pid of the session's leader. */
  readonly session: number;
  /** When the process began, by CLOCK_BOOTTIME as this process reads it, in hundredths of a second, rounded down. */
  readonly startTicks: number;
}

/** @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readStat(pid: number): ProcessStat {
  return parseStat(readProcFile(`/proc/${pid}/stat`));
}

/** @throws ERR_PROC where the file has another form */
export function parseStat(text: string): ProcessStat {
  const end = text.lastIndexOf(')');
  // The third member, the state, is the first one here.
  const members = text.slice(end + 2).split(' ');
  const member = (number: number): number => {
    const value = members[number - 3];
    if (end === -1 || value === undefined || !/^[0-9]{1,15}$/.test(value)) throw otherForm('stat has another form');
    return Number(value);
  };
  const state = members[0];
  if (end === -1 || state === undefined || !/^[A-Za-z]$/.test(state)) throw otherForm('stat has another form');
  const hasEnded = state === 'Z' || state === 'X' || state === 'x';
  return { hasEnded, parent: member(4), session: member(6), startTicks: member(22) };
}
