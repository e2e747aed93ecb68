/** Rates by name or address, of callers whose number nobody limits. */

import { type Clock, TokenBucket } from '../base/index.ts';

/** Number of remembered callers; beyond it those that were seen least recently are forgotten. */
const REMEMBERED = 10_000;

export class Rates {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #clock: Clock;
  readonly #remembered: number;
  /** Least recently seen first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(burst: number, perSecond: number, clock: Clock, remembered = REMEMBERED) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#remembered = remembered;
  }

  /** False if the caller has used up its rate. */
  take(caller: string, count = 1): boolean {
    const bucket = this.#buckets.get(caller) ?? new TokenBucket(this.#burst);
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    if (this.#buckets.size > this.#remembered) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    return bucket.take(this.#burst, this.#perSecond, this.#clock.now(), count);
  }
}
