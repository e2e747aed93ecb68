import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareAge, isExpired } from '../../src/registry/entry.ts';
import { MatchIndex, missing } from '../../src/registry/match.ts';
import type { Entry } from '../../src/registry/types.ts';
import { formatSelector } from '../../src/spiffe/selector.ts';
import { input } from './support.ts';

const NOW = 1_000_000;

function entry(id: string, selectors: readonly string[], more: Partial<Entry> = {}): Entry {
  const set = { createdAt: 0, updatedAt: 0, revisionNumber: 1, source: 'api' };
  return { ...input(id, selectors), ...set, ...more, id };
}

function ids(entries: readonly Entry[]): string[] {
  return entries.map(({ id }) => id);
}

test('an entry matches a caller that has all of its selectors, whatever else that one has', () => {
  const index = new MatchIndex();
  index.put(entry('both', ['unix:uid:1', 'unix:gid:2']));
  index.put(entry('uid', ['unix:uid:1']));
  assert.deepEqual(ids(index.match(new Set(['unix:uid:1', 'unix:gid:2', 'unix:user:x']), NOW)), ['both', 'uid']);
  assert.deepEqual(ids(index.match(new Set(['unix:uid:1']), NOW)), ['uid']);
  assert.deepEqual(ids(index.match(new Set(['unix:gid:2']), NOW)), []);
  assert.deepEqual(ids(index.match(new Set(), NOW)), []);
});

test('selectors are compared byte for byte', () => {
  const index = new MatchIndex();
  index.put(entry('a', ['unix:uid:10']));
  for (const other of ['unix:uid:1', 'unix:uid:100', 'UNIX:uid:10', 'unix:uid:10 ', 'unix:uid: 10']) {
    assert.deepEqual(index.match(new Set([other]), NOW), [], other);
  }
});

test('the oldest comes first, then the lesser id', () => {
  const index = new MatchIndex();
  const made = [
    entry('c', ['unix:uid:1'], { createdAt: 5 }),
    entry('b', ['unix:uid:1', 'unix:gid:1'], { createdAt: 3 }),
    entry('B', ['unix:gid:1'], { createdAt: 3 }),
    entry('a', ['unix:uid:1'], { createdAt: 9 }),
  ];
  for (const one of made) index.put(one);
  assert.deepEqual(ids(index.match(new Set(['unix:gid:1', 'unix:uid:1']), NOW)), ['B', 'b', 'c', 'a']);
});

test('an entry matches up to the instant before it expires', () => {
  const index = new MatchIndex();
  index.put(entry('a', ['unix:uid:1'], { expiresAt: NOW }));
  assert.equal(index.match(new Set(['unix:uid:1']), NOW - 1).length, 1);
  assert.equal(index.match(new Set(['unix:uid:1']), NOW).length, 0);
  assert.equal(isExpired({ expiresAt: 0 }, NOW), false);
});

test('what a caller lacks is told in the order of the entry', () => {
  const both = entry('both', ['unix:uid:1', 'unix:gid:2']);
  assert.deepEqual(missing(both, new Set(['unix:uid:1'])), [{ type: 'unix', value: 'gid:2' }]);
  assert.deepEqual(missing(both, new Set(['unix:uid:1', 'unix:gid:2'])), []);
  assert.deepEqual(missing(both, new Set()).map(formatSelector), ['unix:gid:2', 'unix:uid:1']);
});

test('a caller looks at few of many entries that share a selector with it', () => {
  const index = new MatchIndex();
  for (let at = 0; at < 10_000; at += 1) index.put(entry(`e${at}`, ['unix:uid:1000', `unix:user:u${at}`]));
  const caller = new Set(['unix:uid:1000', 'unix:user:u77']);
  let asked = 0;
  const has = caller.has.bind(caller);
  caller.has = (selector) => {
    asked += 1;
    return has(selector);
  };
  assert.deepEqual(ids(index.match(caller, NOW)), ['e77']);
  // e77 itself, and the first one, which came when neither of its selectors was rarer.
  assert.ok(asked <= 4, `${asked} selectors were compared`);
});

test('after any changes the index finds what a look at every entry finds', () => {
  const selectors = fc.uniqueArray(fc.constantFrom('a:1', 'a:2', 'b:1', 'b:2', 'c:1', 'c:2', 'd:1'), { minLength: 1 });
  const change = fc.record({
    id: fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8'),
    selectors,
    createdAt: fc.integer({ min: 0, max: 3 }),
    expiresAt: fc.constantFrom(0, NOW - 1, NOW, NOW + 1),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), fc.array(selectors, { maxLength: 5 }), (changes, callers) => {
      const index = new MatchIndex();
      const model = new Map<string, Entry>();
      for (const { id, selectors, remove, ...times } of changes) {
        if (remove) {
          index.delete(id);
          model.delete(id);
        } else {
          const one = entry(id, selectors, times);
          index.put(one);
          model.set(id, one);
        }
      }
      for (const caller of callers) {
        const keys = new Set<string>(caller);
        const expected = [...model.values()]
          .filter((one) => one.selectors.every((s) => keys.has(formatSelector(s))))
          .filter((one) => one.expiresAt === 0 || one.expiresAt > NOW)
          .sort(compareAge);
        assert.deepEqual(index.match(keys, NOW), expected);
        for (const one of model.values()) assert.equal(index.has(one.id), true);
        for (const one of expected) assert.deepEqual(missing(one, keys), []);
      }
    }),
    { numRuns: 300 },
  );
});
