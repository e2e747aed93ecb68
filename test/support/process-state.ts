/** What a process of ours holds, from outside. */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Served } from './serve.ts';

/** The open descriptors of a server. It hides them from other processes of its user, so without root it is asked itself. */
export async function descriptorsOf({ pid, request }: Pick<Served, 'pid' | 'request'>): Promise<number> {
  if (process.getuid!() === 0) return readdirSync(`/proc/${pid}/fd`).length;
  const { body } = await request('GET', '/v1/doctor');
  return body.descriptors.open;
}

/** Why the descriptors of a server can't be looked at one by one; undefined where they can. */
export function whyNoDescriptorsSeen(): string | undefined {
  return process.getuid!() === 0 ? undefined : 'only root sees which descriptors a server has open';
}

/** Resident memory in MiB. */
export function memoryOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  return Number(kib) / 1024;
}

/** Looks at what nobody tells of, until it is so. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await setTimeout(5);
}
