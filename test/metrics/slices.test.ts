import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eachInSlices } from '../../src/metrics/slices.ts';

test('long work leaves the event loop to others in between, and looks at everything once, in order', async () => {
  let turns = 0;
  const count = () => {
    turns += 1;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  function* numbers(): Iterable<number> {
    for (let i = 0; i < 100; i += 1) {
      const begun = performance.now();
      while (performance.now() - begun < 0.5);
      yield i;
    }
  }
  const seen: number[] = [];
  await eachInSlices(numbers(), (one) => void seen.push(one));
  clearImmediate(next);
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, i) => i),
  );
  // 50 ms of work in slices of 2 ms, each of which may be late.
  assert.ok(turns >= 10, `${turns} turns`);
});
