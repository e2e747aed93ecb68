/** Reads the metrics and writes them for Prometheus. */

import { collect } from './collect.ts';
import { formatFor, MEDIA_TYPES, write } from './exposition.ts';
import type { MetricSources } from './sources.ts';

/** @param accept the Accept header of the request */
export async function readMetrics(
  sources: MetricSources,
  accept: string | undefined,
): Promise<{ readonly type: string; readonly text: string }> {
  const format = formatFor(accept);
  return { type: MEDIA_TYPES[format], text: write(await collect(sources), format) };
}
