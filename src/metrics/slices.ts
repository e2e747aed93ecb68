/** Long work in slices, so that a scrape does not hold the event loop. */

import { Slices } from '../base/index.ts';

/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 2;

/** Calls `look` with each item, and lets the event loop run after each slice. */
export async function eachInSlices<T>(items: Iterable<T>, look: (item: T) => void): Promise<void> {
  const slices = new Slices(SLICE_MS);
  for (const item of items) {
    look(item);
    if (slices.isOver()) await slices.next();
  }
}
