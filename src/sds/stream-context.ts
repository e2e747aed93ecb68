/** The objects that the parts of one stream share. */

import type { Clock } from '../base/index.ts';
import type { Asker, DeliveryCounts, Ledger, PushQueue, StreamCounts, StreamEvents } from '../delivery/index.ts';
import type { Caller, Decisions, Identities } from '../identity/index.ts';
import type { Turns } from '../limits/index.ts';
import type { ReservedNames, TrustDomain } from '../spiffe/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';
import type { Stream } from '../wire/index.ts';
import type { Nobody } from './nobody.ts';
import type { ValidationForm } from './secrets.ts';
import type { Subscription } from './subscription.ts';
import type { Variant } from './variant.ts';
import type { WatchedNames } from './watched-names.ts';

/** The objects that all streams share. */
export interface StreamParts {
  readonly identities: Identities;
  readonly trustDomain: TrustDomain;
  /** Undefined: those of SPIRE. */
  readonly reservedNames?: ReservedNames;
  readonly clock: Clock;
  readonly log: Log;
  readonly queue: PushQueue;
  readonly turns: Turns;
  readonly counters: Counters;
  readonly counts: DeliveryCounts;
  readonly ledger: Ledger;
  /** Takes bundles away from proxies; undefined: they are told of removals only. */
  readonly nobody?: Nobody;
  /** The record of holds and refusals. */
  readonly decisions: Decisions;
  /** The form of validation contexts unless the node's metadata says otherwise. */
  readonly validation: ValidationForm;
}

/** The method that opened a stream. */
export interface StreamKind {
  readonly variant: Variant;
  readonly service: 'sds' | 'ads';
  readonly counts: StreamCounts;
}

/** The state and operations that the parts of one stream share. */
export interface StreamContext {
  readonly parts: StreamParts;
  readonly kind: StreamKind;
  readonly stream: Stream;
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly names: WatchedNames;
  readonly events: StreamEvents;
  /** The caller, as decisions record it. */
  readonly asker: Asker;
  /** True once the client has its status or has disconnected. */
  readonly ended: boolean;
  /** Marks the name dirty and schedules a push. */
  lookAgain(name: string): void;
  /** Schedules a push of all dirty names. */
  pushSoon(): void;
  /** Updates the names that the wildcard includes. @throws LimitError */
  followWildcard(): void;
  end(...status: Parameters<Stream['end']>): void;
}
