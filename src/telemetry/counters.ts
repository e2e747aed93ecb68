/** What happened how often since the start: counted here by those to whom it happens, read by whoever shows it. */

/** Every counter, with what it counts. Names follow Prometheus: snake case, `_total`. */
export const COUNTERS = {
  connections_accepted_total: 'connections on the pipe that were taken in',
  connections_refused_total:
    'connections on the pipe that were refused for a limit of their owner, a user or container',
  connections_evicted_total: 'connections on the pipe that were closed for an owner that held fewer',
  connections_without_descriptors_total:
    'connections on the pipe that were refused because all callers together held as many as the descriptors allow',
  streams_refused_total: 'calls on the pipe that were refused for a limit of their owner, a user or container',
  requests_refused_total: 'requests on the pipe that were refused for the rate of their owner',
  memory_refused_total:
    'requests and calls on the pipe that were refused for a limit of the memory that is kept for callers',
  memory_shed_total:
    'calls on the pipe that were ended because all callers together made the server keep too much memory',
  attestations_failed_total: 'callers that could not be attested',
  requests_invalid_total: 'requests that broke a rule and ended their stream',
  responses_total: 'responses sent on streams',
  acks_total: 'responses that clients accepted',
  nacks_total: 'responses that clients rejected',
  names_held_total: 'names that a caller asked for and may not have, each time that the reason is another',
  names_refused_total: 'streams ended for asking for too many names that stand for nothing',
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
