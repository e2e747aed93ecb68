import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Grant } from '../../src/identity/grant.ts';
import { describeLapse, Lapses } from '../../src/identity/lapses.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';

const NAMES = ['a', 'b', 'c', 'd'] as const;

function entryOf(name: string, selectors: readonly string[] = [`user:${name}`]): Grant {
  return {
    id: name,
    spiffeId: parseSpiffeId(`spiffe://ilinux.io/${name}`),
    selectors: selectors.map((value) => ({ type: 'unix', value })),
    createdAt: 0,
    expiresAt: 0,
  } as unknown as Grant;
}

const ENTRIES = new Map(NAMES.map((name) => [name as string, entryOf(name)]));

const action = fc.oneof(
  fc.record({ kind: fc.constant('facts' as const), has: fc.subarray([...NAMES]) }),
  fc.record({
    kind: fc.constant('given' as const),
    name: fc.constantFrom(...NAMES),
    life: fc.integer({ min: 1, max: 50 }),
  }),
  fc.record({ kind: fc.constant('time' as const), passed: fc.integer({ min: 1, max: 30 }) }),
  fc.record({ kind: fc.constant('deleted' as const), name: fc.constantFrom(...NAMES) }),
);

test('an entry lapses from when it is not matched any more until the end of its SVID, a change of the registry or a match', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const lapses = new Lapses();
      const given = new Map<string, number>();
      /** Name to the end. */
      const expected = new Map<string, number>();
      let matched = new Set<string>();
      let now = 0;
      for (const act of actions) {
        if (act.kind === 'facts') {
          const has = new Set<string>(act.has);
          const former = [...matched].map((name) => ENTRIES.get(name)!);
          const facts = new Set([...has].map((name) => `unix:user:${name}`));
          const change = lapses.attested(
            former,
            facts,
            ({ id }) => has.has(id),
            (id) => given.get(id),
            now,
          );
          for (const name of matched)
            if (!has.has(name) && given.get(name)! > now) expected.set(name, given.get(name)!);
          const restored = [...expected.keys()].filter((name) => has.has(name));
          for (const name of restored) expected.delete(name);
          matched = has;
          assert.deepEqual(change.restored.map(({ entry }) => entry.id).sort(), restored.sort());
          for (const lapse of change.begun) assert.deepEqual(lapse.lacks, [`unix:user:${lapse.entry.id}`]);
        } else if (act.kind === 'given') {
          // Only an entry that is matched gives one.
          if (matched.has(act.name)) given.set(act.name, Math.max(now + act.life, given.get(act.name) ?? 0));
        } else if (act.kind === 'time') {
          now += act.passed;
          lapses.end(now);
          for (const [name, until] of [...expected]) if (until <= now) expected.delete(name);
        } else {
          lapses.entryChanged(act.name, undefined);
          expected.delete(act.name);
          matched.delete(act.name);
        }
        const found = [...lapses.values()].map(({ entry, until }) => [entry.id, until]);
        assert.deepEqual(found.sort(), [...expected].sort());
        assert.equal(lapses.firstEnd, expected.size === 0 ? undefined : Math.min(...expected.values()));
      }
    }),
  );
});

test('a change of the entry that leaves alone who gets which identity goes on with the lapse; any other ends it', () => {
  const changes: (readonly [Grant, boolean])[] = [
    [{ ...entryOf('a'), hint: 'other' }, true],
    [entryOf('a', ['user:a', 'uid:1']), false],
    [{ ...entryOf('a'), spiffeId: parseSpiffeId('spiffe://ilinux.io/other') }, false],
  ];
  for (const [after, goesOn] of changes) {
    const lapses = new Lapses();
    const former = entryOf('a');
    lapses.attested(
      [former],
      new Set(),
      () => false,
      () => 10,
      0,
    );
    assert.deepEqual(lapses.entryChanged('a', after), [former]);
    assert.equal(lapses.of(after) !== undefined, goesOn);
    assert.equal(lapses.of(former), undefined);
  }
});

test('what is said of a lapse shows no environment value', () => {
  const lapses = new Lapses();
  const secret = { ...entryOf('a'), selectors: [{ type: 'docker', value: 'env:TOKEN=s3cret' }] };
  const { begun } = lapses.attested(
    [secret],
    new Set(),
    () => false,
    () => 10,
    0,
  );
  assert.doesNotMatch(describeLapse(begun[0]!), /s3cret/);
  assert.match(describeLapse(begun[0]!), /docker:env:TOKEN=\[redacted\]/);
});
