/**
 * The differences between the two variants of the protocol: how a request changes the subscription, and how a response
 * is encoded. All else is shared.
 */

import type { EnvoyNode } from './node.ts';
import type { EncodedSecret } from './secrets.ts';
import type { Push, RequestOutcome, Subscription } from './subscription.ts';

/** The effect of a request on the subscription. */
export interface Taken {
  readonly outcome: RequestOutcome;
  /** The client's node; undefined unless it is in a stream's first request. */
  readonly node: EnvoyNode | undefined;
  /** The error text of a NACK; undefined: no NACK. */
  readonly rejection: string | undefined;
}

export interface TakeOptions {
  /** On ADS, which serves many types, the request must name the type. */
  readonly typeRequired: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Called with the memory for the requested names, in bytes, before they are kept. @throws LimitError */
  readonly admit: (bytes: number) => void;
}

export interface Variant {
  readonly name: 'sotw' | 'delta';
  /** True if it can tell the client that a name was removed. */
  readonly saysRemoved: boolean;
  /** Applies a request to the subscription. @throws StatusError for an invalid one; the subscription is unchanged */
  take(subscription: Subscription, bytes: Uint8Array, options: TakeOptions): Taken;
  /** The encoded response, in parts. */
  write(push: Push<EncodedSecret>): Uint8Array[];
}
