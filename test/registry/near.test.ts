import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { differInOnePlace } from '../../src/base/nearest.ts';
import { formatSelector } from '../../src/spiffe/selector.ts';
import { processorTime } from '../support/processor-time.ts';
import { input, open } from './support.ts';

const CALLER = new Set(['unix:uid:0', 'unix:user:envoy', 'unix:path:/usr/bin/envoy', 'docker:label:app:web']);

function short(registry: Awaited<ReturnType<typeof open>>['registry'], limit = 10, spiffeId?: string) {
  return registry
    .nearMisses(CALLER, { limit, spiffeId })
    .map(({ entry, lacks }) => [
      entry.spiffeId.slice('spiffe://ilinux.io/'.length),
      ...lacks.map(({ selector, has, alike }) => [
        formatSelector(selector),
        has.map(formatSelector).join(),
        alike && formatSelector(alike),
      ]),
    ]);
}

describe('near misses', () => {
  it('come nearest first: fewest missing, then the mistyped, then those that have most', async (t) => {
    const { registry } = await open(t);
    await registry.create(
      [
        input('matches', ['unix:uid:0']),
        input('two', ['unix:uid:7', 'unix:user:mail']),
        input('one', ['unix:user:mail']),
        input('one-of-two', ['unix:uid:0', 'unix:user:mail']),
        input('typo', ['unix:user:envy']),
        input('label', ['docker:label:app:api', 'docker:label:tier:front', 'unix:uid:0']),
      ],
      'api',
    );
    const mail = ['unix:user:mail', 'unix:user:envoy', undefined];
    assert.deepEqual(short(registry), [
      ['typo', ['unix:user:envy', 'unix:user:envoy', 'unix:user:envoy']],
      ['one-of-two', mail],
      ['one', mail],
      [
        'label',
        ['docker:label:app:api', 'docker:label:app:web', undefined],
        ['docker:label:tier:front', '', undefined],
      ],
      ['two', ['unix:uid:7', 'unix:uid:0', undefined], mail],
    ]);
    assert.deepEqual(
      short(registry, 2).map(([name]) => name),
      ['typo', 'one-of-two'],
    );
    assert.deepEqual(
      short(registry, 2, 'spiffe://ilinux.io/two').map(([name]) => name),
      ['two'],
    );
  });

  it('of a container with very many labels, variables and networks are found soon, with a few of what it has', async (t) => {
    const { registry } = await open(t);
    const entries = Array.from({ length: 2_000 }, (_, at) =>
      input(`e${at}`, [`docker:label:l${at}:y`, `docker:network:m${at}`, `docker:env:V${at}=y`]),
    );
    await registry.create(entries, 'api');
    const many = (name: (at: number) => string) => Array.from({ length: 2_000 }, (_, at) => `docker:${name(at)}`);
    const keys = [many((at) => `label:l${at}:x`), many((at) => `env:V${at}=x`), many((at) => `network:n${at}`)].flat();
    const begun = processorTime();
    const near = registry.nearMisses(new Set(keys), { limit: 10, spiffeId: undefined });
    const used = processorTime(begun);
    assert.ok(used < 5_000, `${used} ms`);
    assert.equal(near.length, 10);
    for (const { lacks } of near) {
      const has = lacks.map((lack) => lack.has.length);
      assert.deepEqual(has, [1, 1, 20]);
    }
  });

  it('have the expired ones among them, which lack nothing but time', async (t) => {
    const { registry, clock } = await open(t);
    await registry.create([input('over', ['unix:uid:0'], { expiresAt: clock.now() + 1_000 })], 'api');
    assert.deepEqual(short(registry), []);
    clock.advance(1_000);
    assert.deepEqual(short(registry), [['over']]);
    assert.deepEqual(short(registry, 1, 'spiffe://ilinux.io/over'), [['over']]);
  });

  it('are the same with 1,000 entries as a sort of all would give', async (t) => {
    const { registry } = await open(t);
    const random = (below: number, seed: number) => (seed * 7_919) % below;
    await registry.create(
      Array.from({ length: 1_000 }, (_, i) =>
        input(`n-${i}`, [
          `unix:uid:${random(3, i)}`,
          ...(i % 2 === 0 ? [`unix:user:${random(5, i) === 0 ? 'envoy' : `u${i}`}`] : []),
          ...(i % 3 === 0 ? [`unix:path:/bin/${i}`] : []),
        ]),
      ),
      'api',
    );
    const limits = [3, 50, 2_000].map((limit) => short(registry, limit));
    assert.deepEqual(limits[0], limits[2]!.slice(0, 3));
    assert.deepEqual(limits[1], limits[2]!.slice(0, 50));
    const counts = limits[2]!.map((miss) => miss.length - 1);
    assert.deepEqual(counts, counts.toSorted());
    assert.ok(counts.length + registry.match(CALLER).length === 1_000);
  });
});

describe('texts that differ in one place', () => {
  const cases: readonly [string, string, boolean][] = [
    ['envoy', 'envy', true],
    ['envoy', 'evnoy', true],
    ['envoy', 'envoyy', true],
    ['envoy', 'emvoy', true],
    ['1000', '1001', true],
    ['envoy', 'root', false],
    ['0', '7', false],
    ['abcdef', 'abxdyf', false],
    ['', 'a', false],
  ];
  for (const [a, b, alike] of cases) {
    it(`${a || 'nothing'} and ${b}: ${alike}`, () => {
      assert.deepEqual([differInOnePlace(a, b), differInOnePlace(b, a)], [alike, alike]);
    });
  }
});
