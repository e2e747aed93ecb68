/** A rate limit that allows bursts of up to one bucket. */
export class TokenBucket {
  #tokens: number;
  /** Milliseconds since the epoch. */
  #filledAt = 0;

  /** @param size how many may be taken at once */
  constructor(size: number) {
    this.#tokens = size;
  }

  /**
   * Takes one token; false where none is left.
   * @param size the most that the bucket holds
   * @param perSecond how many are added each second
   * @param now milliseconds since the epoch; a clock that was set back adds nothing
   */
  take(size: number, perSecond: number, now: number): boolean {
    if (this.left(size, perSecond, now) < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** How many tokens are left, fractions included. Arguments as of {@link take}. */
  left(size: number, perSecond: number, now: number): number {
    const elapsed = Math.max(now - this.#filledAt, 0);
    this.#tokens = Math.min(size, this.#tokens + (elapsed * perSecond) / 1_000);
    this.#filledAt = now;
    return this.#tokens;
  }
}
