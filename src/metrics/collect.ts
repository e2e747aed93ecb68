/** Collects the samples of one scrape from their sources. */

import { COUNTERS, type CounterName } from '../telemetry/index.ts';
import { collectAuthorities } from './authorities.ts';
import { collectBundles } from './bundles.ts';
import { collectFiles, collectProcess } from './process.ts';
import { Samples } from './samples.ts';
import { eachInSlices } from './slices.ts';
import type { AgentMetricSources, HostMetricSources, MetricSources } from './sources.ts';

/** Of a server. */
export async function collect(sources: MetricSources): Promise<Samples> {
  const samples = new Samples();
  await collectHost(samples, sources);
  collectIssuances(samples, sources);
  collectAuthorities(samples, sources);
  collectRevocations(samples, sources);
  collectAgents(samples, sources);
  const { registry, issuances } = sources;
  samples.set('sidekey_entries', registry.size);
  samples.set('sidekey_aliases', registry.aliases.size);
  const queues = { registry_writes: registry.queuedWrites, signing: issuances.waiting };
  for (const [queue, length] of Object.entries(queues)) samples.set('sidekey_queue_length', length, { queue });
  await collectBundles(samples, sources);
  return samples;
}

export async function collectAgent(sources: AgentMetricSources): Promise<Samples> {
  const samples = new Samples();
  await collectHost(samples, sources);
  samples.set('sidekey_entries', sources.registry.size);
  const { state, svidEnds } = sources.uplink() ?? {};
  samples.set('sidekey_uplink_connected', Number(state === 'connected'));
  if (svidEnds !== undefined) samples.set('sidekey_uplink_svid_expiry_timestamp_seconds', svidEnds / 1_000);
  return samples;
}

async function collectHost(samples: Samples, sources: HostMetricSources): Promise<void> {
  samples.set('sidekey_build_info', 1, { version: sources.version, node: process.version });
  for (const { name, ready } of sources.parts()) samples.set('sidekey_ready', Number(ready), { part: name });
  collectTokens(samples, sources);
  collectStreams(samples, sources);
  collectAttestations(samples, sources);
  collectStore(samples, sources);
  collectLimits(samples, sources);
  collectRequests(samples, sources);
  collectProcess(samples, sources);
  await Promise.all([collectSvids(samples, sources), collectFiles(samples, sources)]);
}

function collectTokens(samples: Samples, { tokens }: HostMetricSources): void {
  for (const [result, count] of tokens.results.entries()) samples.set('sidekey_jwt_svids_total', count, { result });
  samples.times('sidekey_jwt_svid_issuance_duration_seconds', tokens.times, {});
}

function collectIssuances(samples: Samples, { issuances }: MetricSources): void {
  for (const [key_type, times] of issuances.byKeyType) {
    const labels = { kind: 'x509', key_type };
    samples.set('sidekey_svids_issued_total', times.count, labels);
    samples.set('sidekey_issuance_failures_total', issuances.failures.get(key_type), labels);
    samples.times('sidekey_issuance_duration_seconds', times, labels);
  }
}

async function collectSvids(samples: Samples, { identities, clock }: HostMetricSources): Promise<void> {
  const now = clock.now();
  let inUse = 0;
  let soonest = Number.POSITIVE_INFINITY;
  let leastLeft = Number.POSITIVE_INFINITY;
  await eachInSlices(identities.svidsInUse(), ({ notBefore, notAfter, renewAt }) => {
    inUse += 1;
    if (renewAt === Number.POSITIVE_INFINITY) return;
    soonest = Math.min(soonest, notAfter);
    leastLeft = Math.min(leastLeft, Math.max(0, notAfter - now) / (notAfter - notBefore));
  });
  samples.set('sidekey_svids_in_use', inUse);
  if (leastLeft === Number.POSITIVE_INFINITY) return;
  samples.set('sidekey_svid_soonest_expiry_timestamp_seconds', soonest / 1_000);
  samples.set('sidekey_svid_least_life_left_ratio', leastLeft);
}

function collectStreams(samples: Samples, { deliveries, pipe }: HostMetricSources): void {
  samples.set('sidekey_connections', pipe.connectionCount);
  for (const { service, variant, counts } of deliveries.streams()) {
    const labels = { service, variant };
    samples.set('sidekey_streams', counts.open, labels);
    samples.set('sidekey_streams_opened_total', counts.opened, labels);
    samples.set('sidekey_pushes_total', counts.pushes, labels);
    // The Workload API has no acknowledgements.
    if (service === 'workload-api') continue;
    samples.set('sidekey_acks_total', counts.acks, labels);
    samples.set('sidekey_nacks_total', counts.nacks, labels);
    samples.times('sidekey_ack_duration_seconds', counts.ackTimes, labels);
  }
  for (const [result, count] of deliveries.fetches.entries()) samples.set('sidekey_fetches_total', count, { result });
  for (const [had_secret, held] of [
    ['false', deliveries.heldWithout],
    ['true', deliveries.heldWith],
  ] as const) {
    for (const [reason, count] of held.entries()) samples.set('sidekey_names_held', count, { reason, had_secret });
  }
  for (const [reason, count] of deliveries.holds.entries()) samples.set('sidekey_holds_total', count, { reason });
}

function collectRevocations(samples: Samples, { registry, ca }: MetricSources): void {
  const { size } = registry.revocations;
  const lists = ca.revocationLists().length;
  samples.set('sidekey_revocations', size);
  samples.set('sidekey_revocation_lists', lists);
  samples.set('sidekey_revocations_unlisted', Number(size > 0 && lists === 0));
}

function collectAgents(samples: Samples, { agents, fleet, registry, clock }: MetricSources): void {
  const attached = [...(fleet()?.list() ?? [])];
  samples.set('sidekey_agents_attached', attached.length);
  samples.set('sidekey_agents_waiting', attached.filter(({ waiting }) => waiting > 0).length);
  const now = clock.now();
  const states = { active: 0, expired: 0, banned: 0 };
  for (const { banned, notAfter, newNotAfter } of registry.agents.list()) {
    states[banned ? 'banned' : Math.max(notAfter, newNotAfter) <= now ? 'expired' : 'active'] += 1;
  }
  for (const [state, count] of Object.entries(states)) samples.set('sidekey_agents', count, { state });
  for (const [result, count] of agents.attestations.entries()) {
    samples.set('sidekey_agent_attestations_total', count, { result });
  }
  for (const [result, count] of agents.svids.entries()) samples.set('sidekey_agent_svids_total', count, { result });
  for (const [reason, count] of agents.denied.entries()) samples.set('sidekey_agent_denials_total', count, { reason });
  for (const [reason, count] of agents.refusedConnections.entries()) {
    samples.set('sidekey_agent_connections_refused_total', count, { reason });
  }
}

function collectAttestations(samples: Samples, { attestations }: HostMetricSources): void {
  for (const [result, count] of attestations.results.entries()) {
    samples.set('sidekey_attestations_total', count, { result });
  }
  for (const { attestor, result, times } of attestations.attestors()) {
    samples.times('sidekey_attestor_duration_seconds', times, { attestor, result });
  }
}

function collectStore(samples: Samples, { store, pushQueue }: HostMetricSources): void {
  for (const [operation, times] of store.byOperation) {
    samples.times('sidekey_store_duration_seconds', times, { operation });
    samples.set('sidekey_store_failures_total', store.failures.get(operation), { operation });
  }
  samples.set('sidekey_queue_length', pushQueue.length, { queue: 'pushes' });
}

function collectLimits(samples: Samples, sources: HostMetricSources): void {
  const { counters, log, attestations, memory, turns, usage } = sources;
  // These two are counted elsewhere already.
  const counted = { logLines: log.leftOut, attestationTime: attestations.timeouts };
  for (const [limit, count] of Object.entries({ ...Object.fromEntries(counters.limits.entries()), ...counted })) {
    samples.set('sidekey_limit_hits_total', count, { limit });
  }
  for (const name of Object.keys(COUNTERS) as CounterName[]) samples.set(`sidekey_${name}`, counters.get(name));
  for (const { setting, used, limit } of usage()) {
    samples.set('sidekey_limit_usage_ratio', used / limit, { limit: nameOf(setting) });
  }
  samples.set('sidekey_callers_memory_bytes', memory.heldBytes);
  samples.set('sidekey_callers_memory_limit_bytes', memory.limitBytes);
  samples.set('sidekey_deferred_work_total', turns.deferred);
}

/** The name of a limit from the flag of its setting: `--max-streams-per-uid`. */
function nameOf(setting: string): string {
  return setting.replace(/^--/, '').replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function collectRequests(samples: Samples, { adminRequests, log, droppedLogLines }: HostMetricSources): void {
  for (const { count, status, ...labels } of adminRequests()) {
    samples.set('sidekey_admin_requests_total', count, { ...labels, status: String(status) });
  }
  for (const [level, count] of log.lines.entries()) {
    if (level !== 'silent') samples.set('sidekey_log_lines_total', count, { level });
  }
  samples.set('sidekey_log_lines_dropped_total', log.leftOut, { reason: 'owner_budget' });
  samples.set('sidekey_log_lines_dropped_total', droppedLogLines(), { reason: 'output' });
}
