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
    this.#fill(size, perSecond, now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** True while nothing is used up: forgetting the bucket would give nobody more. */
  isFull(size: number, perSecond: number, now: number): boolean {
    this.#fill(size, perSecond, now);
    return this.#tokens >= size;
  }

  #fill(size: number, perSecond: number, now: number): void {
    const elapsed = Math.max(now - this.#filledAt, 0);
    this.#tokens = Math.min(size, this.#tokens + (elapsed * perSecond) / 1_000);
    this.#filledAt = now;
  }
}
