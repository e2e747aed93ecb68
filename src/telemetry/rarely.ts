import type { Clock } from '../base/index.ts';

/** Limits a log line that callers could cause at will to one per interval, and counts the lines left out. */
export class Rarely {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #everyMs: number;
  #next = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  /** @param everyMs the interval, in milliseconds */
  constructor(clock: Pick<Clock, 'now'>, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** Returns the number of lines left out since the last one; undefined if this line is left out too. */
  mayTell(): number | undefined {
    const now = this.#clock.now();
    // A clock that was set back must not suppress the line for longer.
    if (now < this.#next && now >= this.#next - this.#everyMs) {
      this.#leftOut += 1;
      return undefined;
    }
    const leftOut = this.#leftOut;
    this.#next = now + this.#everyMs;
    this.#leftOut = 0;
    return leftOut;
  }
}
