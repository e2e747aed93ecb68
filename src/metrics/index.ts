/** `/metrics`: reads what the other rooms count, and writes it for Prometheus. */

export { readMetrics } from './read.ts';
export type { MetricSources } from './sources.ts';
