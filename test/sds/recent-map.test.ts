import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentMap } from '../../src/sds/recent-map.ts';

test('returns the same values as a Map after any sets, deletes and clears', () => {
  const key = fc.constantFrom('a', 'b');
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ get: key }) },
    { weight: 2, arbitrary: fc.record({ set: key }) },
    { weight: 2, arbitrary: fc.record({ delete: key }) },
    { weight: 1, arbitrary: fc.constant({ clear: true }) },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 100 }), (steps) => {
      const map = new RecentMap<string, object>();
      const model = new Map<string, object>();
      for (const one of steps) {
        if ('get' in one) assert.equal(map.get(one.get), model.get(one.get));
        else if ('set' in one) {
          const value = {};
          map.set(one.set, value);
          model.set(one.set, value);
        } else if ('delete' in one) assert.equal(map.delete(one.delete), model.delete(one.delete));
        else {
          map.clear();
          model.clear();
        }
      }
      assert.deepEqual([...map], [...model]);
    }),
  );
});
