/** Reads the metrics and writes them for Prometheus. */

import { collect, collectAgent } from './collect.ts';
import { formatFor, MEDIA_TYPES, write } from './exposition.ts';
import type { Samples } from './samples.ts';
import type { AgentMetricSources, MetricSources } from './sources.ts';

/** @param accept the Accept header of the request */
export async function readMetrics(sources: MetricSources, accept: string | undefined): Promise<MetricsText> {
  return written(await collect(sources), accept);
}

/** The same of an agent. */
export async function readAgentMetrics(sources: AgentMetricSources, accept: string | undefined): Promise<MetricsText> {
  return written(await collectAgent(sources), accept);
}

interface MetricsText {
  /** The media type. */
  readonly type: string;
  readonly text: string;
}

function written(samples: Samples, accept: string | undefined): MetricsText {
  const format = formatFor(accept);
  return { type: MEDIA_TYPES[format], text: write(samples, format) };
}
