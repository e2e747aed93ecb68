/**
 * Measures how much of the event loop's time one owner uses, in the current turn and recently. Times in milliseconds.
 */

import { currentTurn } from '../base/index.ts';

/** Maximum share of the event loop's time for one owner in the long run, while other owners are active. */
const SHARE = 1 / 2;
/** Time that an owner may use in a burst beyond its share. */
const BURST_MS = 10;
/** Maximum counted time of one piece of work: meanwhile the process may have done unmeasured work of other owners. */
const MOST_COUNTED_MS = 25;
/** Limits the debt, and so the wait, of an owner. */
const MOST_DEBT_MS = 100;

export class LoopTime {
  #turn = -1;
  #usedInTurn = 0;
  /** Negative: a debt. */
  #credit = BURST_MS;
  #creditAt = 0;

  /** Time used in the current turn of the event loop. */
  get usedInTurn(): number {
    return this.#turn === currentTurn() ? this.#usedInTurn : 0;
  }

  /** Notes that work of the owner begins. */
  begin(): void {
    if (this.#turn === currentTurn()) return;
    this.#turn = currentTurn();
    this.#usedInTurn = 0;
  }

  /**
   * Adds time to the turn in which the work began.
   * @param isShared true while other owners are active
   * @param now from `performance.now()`
   */
  use(ms: number, isShared: boolean, now: number): void {
    this.#usedInTurn += ms;
    if (!isShared) return;
    this.#fill(now);
    this.#credit = Math.max(this.#credit - Math.min(ms, MOST_COUNTED_MS), -MOST_DEBT_MS);
  }

  /** True unless the owner has recently used more than its share. @param now from `performance.now()` */
  hasCredit(now: number): boolean {
    this.#fill(now);
    return this.#credit > 0;
  }

  #fill(now: number): void {
    this.#credit = Math.min(this.#credit + (now - this.#creditAt) * SHARE, BURST_MS);
    this.#creditAt = now;
  }
}
