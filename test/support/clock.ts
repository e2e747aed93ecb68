/** A clock that only the test moves. */

import type { Clock, Deadline } from '../../src/base/clock.ts';

interface Pending {
  instant: number;
  /** It waits for time to pass, not for an instant. */
  readonly passing: boolean;
  readonly callback: () => void;
}

/** Starts at noon UTC, 1 June 2026, unless told otherwise (milliseconds since the epoch). */
export class TestClock implements Clock {
  #now: number;
  /** In the order in which they were asked for. */
  readonly #pending = new Set<Pending>();
  readonly #setBackListeners = new Set<() => void>();
  #wasSetBack = false;

  constructor(now: number = Date.UTC(2026, 5, 1, 12)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  at(instant: number, callback: () => void): Deadline {
    return this.#add({ instant, passing: false, callback });
  }

  after(delay: number, callback: () => void): Deadline {
    return this.#add({ instant: this.#now + delay, passing: true, callback });
  }

  onSetBack(listener: () => void): () => void {
    this.#setBackListeners.add(listener);
    return () => this.#setBackListeners.delete(listener);
  }

  #add(pending: Pending): Deadline {
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

  /**
   * Sets the wall clock, as an operator or NTP would, or lets it go on while the machine sleeps; nothing is called
   * before the next advance, and nobody told before {@link tick}.
   */
  set(instant: number): void {
    const jump = instant - this.#now;
    for (const pending of this.#pending) if (pending.passing) pending.instant += jump;
    this.#wasSetBack ||= jump < 0;
    this.#now = instant;
  }

  /** What the system clock does within 5 s of a jump: whoever waits for it is told, and what is due is called. */
  tick(): void {
    if (this.#wasSetBack) for (const listener of [...this.#setBackListeners]) listener();
    this.#wasSetBack = false;
    this.advance(0);
  }

  #nextBy(instant: number): Pending | undefined {
    let nearest: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.instant <= instant && (nearest === undefined || pending.instant < nearest.instant)) nearest = pending;
    }
    return nearest;
  }
}
