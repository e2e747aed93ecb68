/**
 * The two variants of the protocol, as far as they differ: how a request changes what is asked for, and how a response
 * is written. Everything else is one thing for both.
 */

import type { Bytes } from '../base/bytes.ts';
import type { Node } from './node.ts';
import type { EncodedSecret } from './secrets.ts';
import type { Outcome, Push, Subscription } from './subscription.ts';

/** A request, taken in. */
export interface Taken {
  readonly outcome: Outcome;
  /** The client's, from the first request of a stream; undefined: from a later one, or not sent. */
  readonly node: Node | undefined;
  /** Why the client rejects what it was sent; undefined: it does not. */
  readonly rejection: string | undefined;
}

export interface TakeOptions {
  /** The service has many types, so that the request must say which. */
  readonly typeRequired: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** To call with the names that are asked for from now on, before anything is made of them. @throws LimitError */
  readonly admit: (bytes: number) => void;
}

export interface Variant {
  readonly name: 'sotw' | 'delta';
  /** Whether it can say that there is nothing for a name any more. */
  readonly saysRemoved: boolean;
  /** Puts a request into the subscription. @throws StatusError for one that breaks a rule; the subscription is as it was */
  take(subscription: Subscription, bytes: Uint8Array, options: TakeOptions): Taken;
  /** The response's bytes, in parts, which are the caller's until the next call. */
  write(push: Push<EncodedSecret>): Bytes[];
}
