/** Rates by address, of callers whose number nobody limits. */

import { isIPv6 } from 'node:net';
import { type Clock, TokenBucket } from '../base/index.ts';

/** Number of remembered addresses; beyond it those that were seen least recently are forgotten. */
const REMEMBERED = 10_000;

export class Rates {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #clock: Clock;
  /** Least recently seen first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(burst: number, perSecond: number, clock: Clock) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /** False if the address has used up its rate. */
  take(address: string): boolean {
    const bucket = this.#buckets.get(address) ?? new TokenBucket(this.#burst);
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size > REMEMBERED) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    return bucket.take(this.#burst, this.#perSecond, this.#clock.now());
  }
}

/** The address for which limits count: of IPv6 the first 64 bits, since one host may have all that begin so. */
export function countedAddress(remote: string | undefined): string {
  const address = remote?.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '') ?? 'unknown';
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...rest];
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
