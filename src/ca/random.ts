/** Random bytes of node:crypto, drawn many at a time: 4,096 of them take hardly longer than 20. */

import { randomFillSync } from 'node:crypto';

const drawn = Buffer.alloc(4096);
let taken = drawn.length;

/** Gives each byte out once and forgets it. `count`: 4,096 at most. @throws {RangeError} for more */
export function takeRandomBytes(count: number): Buffer {
  if (count > drawn.length) throw new RangeError(`${count} random bytes are asked for at once`);
  if (taken + count > drawn.length) {
    randomFillSync(drawn);
    taken = 0;
  }
  const bytes = Buffer.from(drawn.subarray(taken, taken + count));
  drawn.fill(0, taken, taken + count);
  taken += count;
  return bytes;
}
