/** Divides long jobs into slices, between which the event loop runs. */

import { setImmediate as turn } from 'node:timers/promises';

/** The usual duration of a slice, in milliseconds. */
const SLICE_MS = 5;

/** The slices of one job: `if (slices.isOver()) await slices.next()` after each small step. */
export class Slices {
  readonly #duration: number;
  #end: number;

  /** @param duration maximum duration of a slice, in milliseconds */
  constructor(duration = SLICE_MS) {
    this.#duration = duration;
    this.#end = performance.now() + duration;
  }

  isOver(): boolean {
    return performance.now() >= this.#end;
  }

  /** Begins the next slice after a turn of the event loop. */
  async next(): Promise<void> {
    await turn();
    this.#end = performance.now() + this.#duration;
  }
}
