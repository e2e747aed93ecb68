/** Counters of events since the start. The parts count; the admin API shows the values. */

/** Every counter with a description. Names follow Prometheus: snake case, `_total`. */
const COUNTERS = {
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
  attestations_failed_total: 'failed attestations that ended a stream',
  requests_invalid_total: 'invalid requests, which ended their stream',
  responses_total: 'responses sent on streams',
  acks_total: 'responses acknowledged by clients (ACK)',
  nacks_total: 'responses rejected by clients (NACK)',
  names_held_total: 'names held, counted again for each new reason',
  callers_without_identity_total: 'calls of the Workload API refused because the caller has no identity',
  names_refused_total: 'streams ended because of too many unknown names',
} as const;

export type CounterName = keyof typeof COUNTERS;

export class Counters {
  readonly #values = new Map<CounterName, number>();

  add(name: CounterName): void {
    this.#values.set(name, this.get(name) + 1);
  }

  get(name: CounterName): number {
    return this.#values.get(name) ?? 0;
  }
}
