/** Resident memory of a process. */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const LOOK_MS = 500;
/** So many looks in a row that find it the same, but for a hundredth. */
const STEADY_LOOKS = 4;
const MOST_LOOKS = 40;

/** In KiB. */
export function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]);
}

/** Resident memory once the process rests, in KiB. */
export async function settledMemory(pid: number): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    looks.push(residentMemory(pid));
    const last = looks.slice(-STEADY_LOOKS);
    if (last.length === STEADY_LOOKS && Math.max(...last) < Math.min(...last) * 1.01) break;
    await pause(LOOK_MS);
  }
  return looks.at(-1)!;
}
