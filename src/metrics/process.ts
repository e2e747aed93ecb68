/** The samples of the process and its files. */

import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { descriptorLimit, diskOf } from '../base/index.ts';
import type { Samples } from './samples.ts';
import type { HostMetricSources } from './sources.ts';

export function collectProcess(samples: Samples, { loop }: HostMetricSources): void {
  samples.times('sidekey_event_loop_lag_seconds', loop.times);
  samples.set('sidekey_event_loop_active_seconds_total', loop.activeSeconds);
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  samples.set('sidekey_heap_used_bytes', used);
  samples.set('sidekey_heap_limit_bytes', limit);
  const { user, system } = process.cpuUsage();
  samples.set('process_cpu_seconds_total', (user + system) / 1_000_000);
  samples.set('process_resident_memory_bytes', process.memoryUsage.rss());
  samples.set('process_start_time_seconds', performance.timeOrigin / 1_000);
}

/** What cannot be read is left out: without a descriptor left, the scrape must still answer. */
export async function collectFiles(samples: Samples, { dataDir, database: name }: HostMetricSources): Promise<void> {
  const database = path.join(dataDir, name);
  const [size, log, disk, open] = await Promise.all([
    sizeOf(database),
    sizeOf(`${database}-wal`),
    diskOf(dataDir).catch(() => undefined),
    openDescriptors(),
  ]);
  if (size !== undefined) samples.set('sidekey_database_bytes', size + (log ?? 0));
  samples.set('sidekey_disk_free_bytes', disk?.freeBytes);
  samples.set('process_open_fds', open);
  samples.set('process_max_fds', maxDescriptors());
}

async function sizeOf(file: string): Promise<number | undefined> {
  return (await stat(file).catch(() => undefined))?.size;
}

/** From Linux 6.2 on, the size of this directory is the number of its entries; before, it is 0 and they are listed. */
async function openDescriptors(): Promise<number | undefined> {
  const size = await sizeOf('/proc/self/fd');
  if (size !== 0) return size;
  return (await readdir('/proc/self/fd').catch(() => undefined))?.length;
}

/** Cached, since nothing changes it after the start. */
let limit: number | undefined;

function maxDescriptors(): number | undefined {
  try {
    limit ??= descriptorLimit();
  } catch {
    return undefined;
  }
  return limit;
}
