/** A rate limit that allows bursts of up to one bucket. */
export class TokenBucket {
  #tokens: number;
  /** Milliseconds since the epoch. */
  #filledAt = 0;

  /** @param size the maximum number of tokens taken at once */
  constructor(size: number) {
    this.#tokens = size;
  }

  /**
   * Takes tokens; returns false, and takes none, if there are fewer.
   * @param size the capacity of the bucket
   * @param perSecond tokens added per second
   * @param now milliseconds since the epoch; a clock that was set back adds no tokens
   */
  take(size: number, perSecond: number, now: number, count = 1): boolean {
    if (this.left(size, perSecond, now) < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** The number of tokens left, including fractions. For the arguments see {@link take}. */
  left(size: number, perSecond: number, now: number): number {
    const elapsed = Math.max(now - this.#filledAt, 0);
    this.#tokens = Math.min(size, this.#tokens + (elapsed * perSecond) / 1_000);
    this.#filledAt = now;
    return this.#tokens;
  }
}
