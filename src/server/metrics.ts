/** What the server counts for `/metrics`, made before the parts that count. */

import { RequestCounts } from '../admin/index.ts';
import { AgentCounts } from '../agents/index.ts';
import { AttestationTimes, runningWith } from '../attest/index.ts';
import { type CertificateAuthority, IssuanceTimes } from '../ca/index.ts';
import type { HostConfig } from '../config/index.ts';
import { DeliveryCounts, PushQueue } from '../delivery/index.ts';
import { PublishingCounts } from '../federation/index.ts';
import { TokenCounts } from '../jwt/index.ts';
import type { AgentMetricSources, MetricSources } from '../metrics/index.ts';
import { StoreTimes } from '../registry/index.ts';
import { Counters, type LogCounts, LoopLag, Tally } from '../telemetry/index.ts';
import type { Parts } from './parts.ts';

const ROLES = ['root', 'intermediate', 'jwt'] as const;

export function createMeters(config: HostConfig, log: LogCounts, parts: Parts) {
  const loop = new LoopLag();
  parts.own(loop);
  return {
    counters: new Counters(),
    deliveries: new DeliveryCounts(),
    pushQueue: new PushQueue(),
    attestations: new AttestationTimes(runningWith(config).map(({ type }) => type)),
    issuances: new IssuanceTimes(),
    tokens: new TokenCounts(),
    agents: new AgentCounts(),
    store: new StoreTimes(),
    publishing: new PublishingCounts(),
    requests: new RequestCounts(),
    rotations: new Tally(ROLES),
    taints: new Tally(ROLES),
    loop,
    log,
  };
}

export type Meters = ReturnType<typeof createMeters>;

/** Counts the authorities that begin to sign, and those that are tainted, from now on. */
export function countMoves(
  { rotations, taints }: Meters,
  ca: Pick<CertificateAuthority, 'onMove'>,
  parts: Parts,
): void {
  parts.defer(
    ca.onMove(({ role, state }) => {
      if (state === 'active') rotations.add(role);
      else if (state === 'tainted') taints.add(role);
    }),
  );
}

/** The same of an agent. */
export async function agentMetricsOf(sources: AgentMetricSources, accept: string | undefined) {
  const { readAgentMetrics } = await import('../metrics/index.ts');
  return readAgentMetrics(sources, accept);
}

/** Reads the metrics; their room is loaded at the first scrape. */
export async function metricsOf(sources: MetricSources, accept: string | undefined) {
  const { readMetrics } = await import('../metrics/index.ts');
  return readMetrics(sources, accept);
}
