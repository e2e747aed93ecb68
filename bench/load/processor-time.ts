import { readFileSync } from 'node:fs';

/** Of a process, in milliseconds: fields 14 and 15 of proc(5)'s stat, in hundredths of a second. */
export function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
