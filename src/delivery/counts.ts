/** What the services on the pipe did since the start, for the metrics. The hot path only increases integers. */

import { HELD_REASONS, type HeldReason } from '../identity/index.ts';
import { Tally, Times } from '../telemetry/index.ts';
import type { StreamReport } from './stream-report.ts';

/** A kind of streams: the service, and the variant of its protocol or what it sends. */
export type StreamKindName = Pick<StreamReport, 'service' | 'variant'>;

/** The counts of one kind of streams. */
export class StreamCounts {
  opened = 0;
  closed = 0;
  /** Responses sent. */
  pushes = 0;
  acks = 0;
  nacks = 0;
  /** From a response to its ACK. */
  readonly ackTimes = new Times();

  get open(): number {
    return this.opened - this.closed;
  }
}

const KINDS: readonly StreamKindName[] = [
  { service: 'sds', variant: 'sotw' },
  { service: 'sds', variant: 'delta' },
  { service: 'ads', variant: 'sotw' },
  { service: 'ads', variant: 'delta' },
  { service: 'workload-api', variant: 'x509-svids' },
  { service: 'workload-api', variant: 'x509-bundles' },
  { service: 'workload-api', variant: 'jwt-bundles' },
];

/** `refused`: over a limit or invalid. */
const FETCH_RESULTS = ['found', 'nothing', 'refused', 'failed'] as const;
export type FetchResult = (typeof FETCH_RESULTS)[number];

export class DeliveryCounts {
  readonly #streams = new Map<string, StreamKindName & { readonly counts: StreamCounts }>();
  /** Names that are held now, by the reason: those without an earlier secret, and those whose client has one. */
  readonly heldWithout = new Tally<HeldReason>(HELD_REASONS);
  readonly heldWith = new Tally<HeldReason>(HELD_REASONS);
  /** Holds since the start; a name counts again for each new reason. */
  readonly holds = new Tally<HeldReason>(HELD_REASONS);
  /** FetchSecrets. */
  readonly fetches = new Tally<FetchResult>(FETCH_RESULTS);

  constructor() {
    for (const kind of KINDS) this.of(kind);
  }

  of({ service, variant }: StreamKindName): StreamCounts {
    const key = `${service} ${variant}`;
    const known = this.#streams.get(key);
    if (known !== undefined) return known.counts;
    const counts = new StreamCounts();
    this.#streams.set(key, { service, variant, counts });
    return counts;
  }

  /** By kind, also those without streams. */
  streams(): Iterable<StreamKindName & { readonly counts: StreamCounts }> {
    return this.#streams.values();
  }
}
