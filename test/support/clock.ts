/** A clock that only the test moves. */

import type { Clock, Deadline } from '../../src/base/clock.ts';

interface Pending {
  readonly instant: number;
  readonly callback: () => void;
}

/** Starts at noon UTC, 1 June 2026, unless told otherwise (milliseconds since the epoch). */
export class TestClock implements Clock {
  #now: number;
  /** In the order in which they were asked for. */
  readonly #pending = new Set<Pending>();

  constructor(now: number = Date.UTC(2026, 5, 1, 12)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  at(instant: number, callback: () => void): Deadline {
    const pending = { instant, callback };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** How many deadlines are still to come. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Moves on, step by step: each deadline on the way is called at its instant, also those that are asked for meanwhile. */
  advance(milliseconds: number): void {
    this.advanceTo(this.#now + milliseconds);
  }

  advanceTo(instant: number): void {
    for (let next = this.#nextBy(instant); next !== undefined; next = this.#nextBy(instant)) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.instant);
      next.callback();
    }
    this.#now = instant;
  }

  /** Sets the wall clock, as an operator or NTP would; nothing is called before the next advance. */
  set(instant: number): void {
    this.#now = instant;
  }

  #nextBy(instant: number): Pending | undefined {
    let nearest: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.instant <= instant && (nearest === undefined || pending.instant < nearest.instant)) nearest = pending;
    }
    return nearest;
  }
}
