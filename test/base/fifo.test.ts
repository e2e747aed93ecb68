import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fifo } from '../../src/base/fifo.ts';

test('a fifo returns the same items as an array, in any order of calls', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 3_000 }) }),
      fc.record({ shift: fc.integer({ min: 1, max: 3_000 }) }),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(steps, (steps) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      let last = 0;
      for (const step of steps) {
        if ('push' in step) {
          for (let i = 0; i < step.push; i += 1) {
            last += 1;
            fifo.push(last);
            model.push(last);
          }
        } else {
          for (const expected of [...model.splice(0, step.shift), ...(model.length === 0 ? [undefined] : [])]) {
            assert.equal(fifo.shift(), expected);
          }
        }
        assert.equal(fifo.length, model.length);
      }
    }),
    { numRuns: 50 },
  );
});
