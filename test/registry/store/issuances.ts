import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IssuanceRecord } from '../../../src/base/issuance.ts';
import { type IssuanceQuery, TOKEN_SPAN_MS } from '../../../src/registry/store/issuance-store.ts';
import type { MakeDatabase } from './conformance.ts';

function issuance(serial: string, spiffeId: string): IssuanceRecord {
  return {
    kind: 'x509',
    serial,
    spiffeId,
    entryId: 'e',
    authorityId: 'ab',
    notBefore: 1,
    notAfter: 2_000_000_000_000,
    issuedAt: 3,
  };
}

export function testIssuances(database: MakeDatabase): void {
  test('issuances are on record, newest first, all or of one SPIFFE ID', async (t) => {
    const shared = database(t);
    const { issuances } = await shared.open();
    const records = ['01', '02', '03', '04'].map((serial, at) => issuance(serial, `spiffe://ilinux.io/${at % 2}`));
    await issuances.recordIssuances(records.slice(0, 2));
    await issuances.recordIssuances(records.slice(2));
    await issuances.recordIssuances([]);
    for (const store of [issuances, (await shared.open()).issuances]) {
      assert.deepEqual(await store.newest({ limit: 10 }), records.toReversed());
      assert.deepEqual(await store.newest({ limit: 1 }), [records[3]]);
      assert.deepEqual(await store.newest({ spiffeId: 'spiffe://ilinux.io/0', limit: 10 }), [records[2], records[0]]);
      assert.deepEqual(await store.newest({ spiffeId: 'spiffe://ilinux.io/2', limit: 10 }), []);
    }
  });

  test('issuances are searched by what is on record, newest first', async (t) => {
    const { issuances } = await database(t).open();
    const one = (serial: string, spiffeId: string, issuedAt: number, more: Partial<IssuanceRecord> = {}) => ({
      ...issuance(serial, spiffeId),
      issuedAt,
      ...more,
    });
    const all = [
      one('01', 'spiffe://a/web', 100),
      one('02', 'spiffe://a/web/1', 200, { kind: 'jwt' }),
      one('03', 'spiffe://a/api', 300, { entryId: 'f' }),
      one('04', 'spiffe://a/web', 400),
    ];
    for (const record of all) await issuances.recordIssuances([record]);
    const found = async (query: Partial<IssuanceQuery>) =>
      (await issuances.search({ limit: 9, ...query })).records.map(({ serial }) => serial);
    assert.deepEqual(await issuances.search({ limit: 9 }), { records: all.toReversed(), nextCursor: undefined });
    assert.deepEqual(await found({ spiffeId: 'spiffe://a/web' }), ['04', '01']);
    assert.deepEqual(await found({ spiffeId: 'spiffe://a/web', since: 101 }), ['04']);
    assert.deepEqual(await found({ spiffeIdPrefix: 'spiffe://a/web' }), ['04', '02', '01']);
    assert.deepEqual(await found({ spiffeIdPrefix: 'spiffe://a/w%' }), []);
    assert.deepEqual(await found({ serial: '03' }), ['03']);
    assert.deepEqual(await found({ entryId: 'f' }), ['03']);
    assert.deepEqual(await found({ kind: 'jwt' }), ['02']);
    assert.deepEqual(await found({ since: 200, until: 400 }), ['03', '02']);
    assert.deepEqual(await found({ serial: '03', entryId: 'e' }), []);
  });

  test('pages of a search follow each other without a gap, also through many that do not match', async (t) => {
    const { issuances } = await database(t).open();
    const many = Array.from({ length: 25_000 }, (_, at) => issuance(`${at}`, at % 5_000 === 0 ? 'a' : 'b'));
    await issuances.recordIssuances(many);
    for (const query of [{ spiffeIdPrefix: 'a' }, { spiffeId: 'a' }, { spiffeId: 'b', serial: '7' }]) {
      const seen: string[] = [];
      let cursor: number | undefined;
      do {
        const page = await issuances.search({ ...query, limit: 2, cursor });
        assert.ok(page.records.length <= 2);
        seen.push(...page.records.map(({ serial }) => serial));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      assert.deepEqual(seen, 'serial' in query ? ['7'] : ['20000', '15000', '10000', '5000', '0']);
    }
  });

  test('issuances of one call are recorded all or none', async (t) => {
    const { issuances } = await database(t).open();
    await issuances.recordIssuances([issuance('01', 'a')]);
    const wrong = { ...issuance('03', 'b'), notAfter: 1.5 };
    await assert.rejects(issuances.recordIssuances([issuance('02', 'a'), wrong]), { code: 'ERR_STORE' });
    assert.deepEqual(await issuances.newest({ limit: 10 }), [issuance('01', 'a')]);
  });

  test('of a list of SPIFFE IDs those are told that were ever issued', async (t) => {
    const { issuances } = await database(t).open();
    await issuances.recordIssuances([issuance('01', 'a'), issuance('02', 'a'), issuance('03', 'b')]);
    assert.deepEqual(await issuances.issuedOf(['a', 'c']), new Set(['a']));
    assert.deepEqual(await issuances.issuedOf([]), new Set());
  });

  test('unexpired certificates are found by serial number, SPIFFE ID and entry, newest first', async (t) => {
    const { issuances } = await database(t).open();
    const NOW = 1_900_000_000_000;
    const one = (serial: string, end: number, more: Partial<IssuanceRecord> = {}) => ({
      ...issuance(serial, 'a'),
      notAfter: NOW + end,
      ...more,
    });
    const all = [
      one('01', -1),
      one('02', 86_400_000),
      one('03', 0),
      one('04', 3_600_000, { entryId: 'f' }),
      one('05', 7_200_000, { spiffeId: 'b' }),
      one('06', 3_600_000, { kind: 'jwt' }),
      one('07', 3_600_000),
    ];
    await issuances.recordIssuances(all);
    const found = async (...query: Parameters<typeof issuances.unexpired>) =>
      (await issuances.unexpired(...query)).map(({ serial }) => serial);
    assert.deepEqual(await issuances.unexpired({ serial: '04' }, NOW, 9), [all[3]]);
    for (const serial of ['01', '06', '08']) assert.deepEqual(await found({ serial }, NOW, 9), []);
    assert.deepEqual(await found({ spiffeId: 'a' }, NOW, 9), ['07', '04', '03', '02']);
    assert.deepEqual(await found({ entryId: 'e' }, NOW, 9), ['07', '05', '03', '02']);
    assert.deepEqual(await found({ entryId: 'e' }, NOW, 2), ['05', '02'], 'those that end last');
    assert.deepEqual(await found({ entryId: 'e' }, NOW + 86_400_001, 9), []);
    assert.deepEqual(await found({ entryId: 'g' }, NOW, 9), []);
  });

  test('of any records those are found that have not ended', async (t) => {
    const record = fc.record({
      kind: fc.constantFrom('x509' as const, 'jwt' as const),
      spiffeId: fc.constantFrom('a', 'b'),
      entryId: fc.constantFrom('e', 'f'),
      notAfter: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 10_000_000_000_000 })),
    });
    const query = fc.record({ now: fc.integer({ min: 0, max: 200 }), limit: fc.integer({ min: 1, max: 20 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 20 }), query, async (given, { now, limit }) => {
        const { issuances } = await database(t).open();
        const base = await issuances.newest({ limit: 1_000 });
        const before = base.length;
        const all = given.map((one, at) => ({ ...issuance((before + at).toString(16).padStart(4, '0'), ''), ...one }));
        await issuances.recordIssuances(all);
        const lasting = [...all.toReversed(), ...base].filter(
          ({ kind, notAfter }) => kind === 'x509' && notAfter >= now,
        );
        for (const entryId of ['e', 'f']) {
          const expected = lasting.filter((one) => one.entryId === entryId);
          const found = await issuances.unexpired({ entryId }, now, limit);
          assert.equal(found.length, Math.min(limit, expected.length));
          if (expected.length <= limit) assert.deepEqual(found, expected);
          assert.deepEqual(
            found.map(({ notAfter }) => notAfter).toSorted((a, b) => b - a),
            expected
              .map(({ notAfter }) => notAfter)
              .toSorted((a, b) => b - a)
              .slice(0, limit),
          );
        }
      }),
      { numRuns: 30 },
    );
  });

  test('records of tokens are deleted when the span of their end is over, those of certificates never', async (t) => {
    const { issuances } = await database(t).open();
    const token = (serial: string, notAfter: number) => ({ ...issuance(serial, 'a'), kind: 'jwt' as const, notAfter });
    const certificate = { ...issuance('01', 'a'), notAfter: 10 };
    const later = token('05', TOKEN_SPAN_MS);
    await issuances.recordIssuances([certificate, token('02', 10), token('03', 11), token('04', 12), later]);
    assert.equal(await issuances.pruneTokens(TOKEN_SPAN_MS - 1, 9), 0);
    assert.equal(await issuances.pruneTokens(TOKEN_SPAN_MS, 2), 2);
    assert.equal(await issuances.pruneTokens(TOKEN_SPAN_MS, 2), 1);
    assert.equal(await issuances.pruneTokens(TOKEN_SPAN_MS, 2), 0);
    assert.deepEqual(await issuances.newest({ limit: 10 }), [later, certificate]);
    assert.equal(
      await issuances.pruneTokens(2 * TOKEN_SPAN_MS, 9),
      0,
      'the newest record stays: the next number follows it',
    );
    await issuances.recordIssuances([{ ...certificate, serial: '06' }]);
    assert.equal(await issuances.pruneTokens(2 * TOKEN_SPAN_MS, 9), 1);
  });
}
