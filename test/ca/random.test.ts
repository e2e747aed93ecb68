import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeRandomBytes } from '../../src/ca/random.ts';

test('no random byte is returned twice, and returned bytes do not change', () => {
  const taken = Array.from({ length: 2_000 }, (_, i) => takeRandomBytes(20 + (i % 13)));
  const copies = taken.map((bytes) => bytes.toString('hex'));
  takeRandomBytes(4096);
  assert.deepEqual(
    taken.map((bytes) => bytes.toString('hex')),
    copies,
  );
  // No window of eight bytes occurs twice.
  const windows = copies.flatMap((hex) =>
    Array.from({ length: hex.length / 2 - 7 }, (_, i) => hex.slice(2 * i, 2 * i + 16)),
  );
  assert.equal(new Set(windows).size, windows.length);
});

test('up to the size of the pool can be taken at once, and no more', () => {
  assert.equal(takeRandomBytes(4096).length, 4096);
  assert.throws(() => takeRandomBytes(4097), RangeError);
});
