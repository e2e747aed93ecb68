/** What streams and fetches did since the start, for the metrics. The hot path only increases integers. */

import { HELD_REASONS, type HeldReason } from '../identity/index.ts';
import { Tally, Times } from '../telemetry/index.ts';

/** The counts of one method that opens streams. */
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

/** `found`: at least one secret; `refused`: a limit or an invalid request. */
const FETCH_RESULTS = ['found', 'nothing', 'refused', 'failed'] as const;
export type FetchResult = (typeof FETCH_RESULTS)[number];

const SERVICES = ['sds', 'ads'] as const;
const VARIANTS = ['sotw', 'delta'] as const;
export type Service = (typeof SERVICES)[number];
export type VariantName = (typeof VARIANTS)[number];

export class SecretCounts {
  /** By service and variant. */
  readonly streams: readonly {
    readonly service: Service;
    readonly variant: VariantName;
    readonly counts: StreamCounts;
  }[] = SERVICES.flatMap((service) => VARIANTS.map((variant) => ({ service, variant, counts: new StreamCounts() })));
  /** Names that are held now, by the reason: those without an earlier secret, and those whose client has one. */
  readonly heldWithout = new Tally<HeldReason>(HELD_REASONS);
  readonly heldWith = new Tally<HeldReason>(HELD_REASONS);
  /** Holds since the start; a name counts again for each new reason. */
  readonly holds = new Tally<HeldReason>(HELD_REASONS);
  readonly fetches = new Tally<FetchResult>(FETCH_RESULTS);

  of(service: Service, variant: VariantName): StreamCounts {
    return this.streams.find((one) => one.service === service && one.variant === variant)!.counts;
  }
}
