/** A pool of random bytes: drawing 4,096 bytes from node:crypto takes hardly longer than drawing 20. */

import { randomFillSync } from 'node:crypto';

const drawn = Buffer.alloc(4096);
let taken = drawn.length;

/** Returns bytes of the pool and erases them there. `count`: at most 4,096. @throws {RangeError} for more */
export function takeRandomBytes(count: number): Buffer {
  if (count > drawn.length) throw new RangeError(`${count} random bytes requested; the limit is 4096`);
  if (taken + count > drawn.length) {
    randomFillSync(drawn);
    taken = 0;
  }
  const bytes = Buffer.from(drawn.subarray(taken, taken + count));
  drawn.fill(0, taken, taken + count);
  taken += count;
  return bytes;
}
