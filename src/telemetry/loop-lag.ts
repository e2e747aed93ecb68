/**
 * How late the event loop is: a timer is due every {@link SAMPLE_MS} and notes its delay. So a pause of that length or
 * more is always seen, whenever somebody reads the histogram, and several readers do not disturb each other.
 */

import { performance } from 'node:perf_hooks';
import { SHORT, Times } from './times.ts';

/** Interval of the samples, in milliseconds. */
const SAMPLE_MS = 100;

export class LoopLag {
  readonly times = new Times(SHORT);
  readonly #timer: NodeJS.Timeout;

  constructor() {
    let due = performance.now() + SAMPLE_MS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.times.add((now - due) / 1_000);
      due = now + SAMPLE_MS;
    }, SAMPLE_MS);
    this.#timer.unref();
  }

  /** The time that the event loop has worked since the start of the process, in seconds. */
  get activeSeconds(): number {
    return performance.eventLoopUtilization().active / 1_000;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
