/** What a process of ours holds, from outside. */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Resident memory in MiB. */
export function memoryOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  return Number(kib) / 1024;
}

/** Looks at what nobody tells of, until it is so. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(5);
}
