/** Counters of events since the start. The parts count; `/metrics` shows the values. */

import { Tally } from './tally.ts';

/** Every counter with a description. `/metrics` shows it as `sidekey_NAME`. */
export const COUNTERS = {
  connections_accepted_total: 'connections accepted on the agent socket',
  connections_refused_total:
    'connections refused on the agent socket because of a limit of their owner (a user or container)',
  connections_evicted_total: 'connections closed on the agent socket to make room for an owner with fewer',
  connections_without_descriptors_total:
    'connections refused on the agent socket because the limit of file descriptors was reached',
  streams_refused_total: 'calls refused because of a limit of their owner (a user or container)',
  requests_refused_total: 'requests refused because of the rate limit of their owner',
  memory_refused_total: 'requests and calls refused because of a limit on memory',
  memory_shed_total: 'calls ended because all callers together had reached the memory limit',
  streams_unattested_total: 'streams ended because their caller could not be attested',
  requests_invalid_total: 'invalid requests, which ended their stream',
  callers_without_identity_total: 'calls of the Workload API refused because the caller has no identity',
  names_refused_total: 'streams ended because of too many unknown names',
} as const;

export type CounterName = keyof typeof COUNTERS;

/** Limits whose hits are counted. Where a refusal names the limit, it is by the same name. docs/limits.md has all limits. */
export const LIMIT_NAMES = [
  'maxConnectionsPerUid',
  'connectsPerSecondPerUid',
  'connections',
  'maxStreamsPerUid',
  'refusedStreamsPerUid',
  'maxRequestsPerSecondPerUid',
  'memoryPerUid',
  'memory',
  'messageBytes',
  'namesPerRequest',
  'unknownNames',
  'attestationTime',
  'decisions',
  'logLines',
  'adminMaxConnections',
  'adminBodyBytes',
  'eventReaders',
  'eventBacklog',
  'pageLinks',
  'authorities',
  'maxJwtSvidsPerSecondPerId',
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export class Counters {
  readonly #values: Record<CounterName, number> = Object.fromEntries(
    Object.keys(COUNTERS).map((name) => [name, 0]),
  ) as Record<CounterName, number>;
  /** How often each limit refused, ended or dropped something. */
  readonly limits = new Tally<LimitName>(LIMIT_NAMES);

  add(name: CounterName): void {
    this.#values[name] += 1;
  }

  get(name: CounterName): number {
    return this.#values[name];
  }
}
