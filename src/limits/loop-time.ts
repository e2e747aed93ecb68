/** How much of the event loop's time one owner has used: in this turn, and lately. Times are in milliseconds. */

import { currentTurn } from '../base/turn.ts';

/** Of the event loop's time, what an owner may use in the long run while others call too. */
const SHARE = 1 / 2;
/** What it may use at once before that. */
const BURST_MS = 10;
/** The most that one piece of work counts over the share: what the process does meanwhile for others is not told apart. */
const MOST_COUNTED_MS = 25;
/** The most that an owner may be over its share. */
const MOST_DEBT_MS = 100;

export class LoopTime {
  #turn = -1;
  #usedInTurn = 0;
  /** Negative: a debt. */
  #credit = BURST_MS;
  #creditAt = 0;

  /** What was used since the event loop last went round. */
  get usedInTurn(): number {
    return this.#turn === currentTurn() ? this.#usedInTurn : 0;
  }

  /** Its work begins. */
  begin(): void {
    if (this.#turn === currentTurn()) return;
    this.#turn = currentTurn();
    this.#usedInTurn = 0;
  }

  /**
   * Counts work for the turn in which it began.
   * @param isShared others call too
   * @param now as of `performance.now()`
   */
  use(ms: number, isShared: boolean, now: number): void {
    this.#usedInTurn += ms;
    this.#fill(now);
    if (isShared) this.#credit = Math.max(this.#credit - Math.min(ms, MOST_COUNTED_MS), -MOST_DEBT_MS);
  }

  /** True unless more than its share was used lately. @param now as of `performance.now()` */
  hasCredit(now: number): boolean {
    this.#fill(now);
    return this.#credit > 0;
  }

  #fill(now: number): void {
    this.#credit = Math.min(this.#credit + (now - this.#creditAt) * SHARE, BURST_MS);
    this.#creditAt = now;
  }
}
