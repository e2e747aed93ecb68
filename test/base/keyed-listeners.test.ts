import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyedListeners } from '../../src/base/keyed-listeners.ts';

test('each added and not removed listener of a key is returned once', () => {
  const step = fc.record({
    key: fc.constantFrom('a', 'b'),
    listener: fc.integer({ min: 0, max: 3 }),
    adds: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const listeners = new KeyedListeners<string>();
      const all = Array.from({ length: 4 }, (_, i) => () => i);
      const model = new Map([
        ['a', new Set<() => void>()],
        ['b', new Set<() => void>()],
      ]);
      const stops = new Map<string, () => void>();
      for (const { key, listener, adds } of steps) {
        const one = all[listener]!;
        if (adds) {
          stops.set(`${key}${listener}`, listeners.add(key, one));
          model.get(key)!.add(one);
        } else {
          // Some were never added, or were removed before.
          stops.get(`${key}${listener}`)?.();
          model.get(key)!.delete(one);
        }
        for (const [each, expected] of model) assert.deepEqual(new Set(listeners.of(each)), expected);
      }
    }),
  );
});

test('after clear there are no listeners, and an old stop function does not remove a later listener', () => {
  const listeners = new KeyedListeners<string>();
  const stop = listeners.add('a', () => undefined);
  listeners.clear();
  assert.deepEqual([...listeners.of('a')], []);
  const later = () => undefined;
  listeners.add('a', later);
  stop();
  assert.deepEqual([...listeners.of('a')], [later]);
});
