import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoff, backoffApart } from '../../src/base/backoff.ts';

test('the delay doubles after each failure, up to the limit', () => {
  const waits = [1, 2, 3, 4, 5].map((failures) => backoff(failures, 100, 500));
  assert.deepEqual(waits, [100, 200, 400, 500, 500]);
});

test('jitter shortens the delay by at most a half, so that retries spread', () => {
  const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(share, fc.integer({ min: 1, max: 2_000 }), (random, failures) => {
      const full = backoff(failures, 100, 5_000);
      const wait = backoffApart(failures, 100, 5_000, () => random);
      assert.ok(wait >= full / 2 && wait <= full);
    }),
  );
  assert.equal(
    backoffApart(1, 100, 500, () => 0),
    100,
  );
  assert.ok(new Set(Array.from({ length: 20 }, () => backoffApart(3, 100, 5_000))).size > 1);
});
