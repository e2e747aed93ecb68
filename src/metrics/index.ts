/** `/metrics`: reads what the other rooms count, and writes it for Prometheus. */

export { readAgentMetrics, readMetrics } from './read.ts';
export type { AgentMetricSources, MetricSources } from './sources.ts';
