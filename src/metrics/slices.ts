/** Long work in slices, so that a scrape does not hold the event loop. */

import { setImmediate as turn } from 'node:timers/promises';

/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 2;

/** Calls `look` with each item, and lets the event loop run after each slice. */
export async function eachInSlices<T>(items: Iterable<T>, look: (item: T) => void): Promise<void> {
  let end = performance.now() + SLICE_MS;
  for (const item of items) {
    look(item);
    if (performance.now() < end) continue;
    await turn();
    end = performance.now() + SLICE_MS;
  }
}
