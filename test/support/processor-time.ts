/** Processor time: unlike the time that has passed, it hardly depends on what else the machine does. */

import { readFileSync } from 'node:fs';

/** The time that this process has used, in milliseconds, less `since`. */
export function processorTime(since = 0): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000 - since;
}

/** The time that a process has used, in milliseconds: fields 14 and 15 of proc(5)'s stat, in hundredths of a second. */
export function processorTimeOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
