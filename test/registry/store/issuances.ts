import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IssuanceRecord } from '../../../src/base/issuance.ts';
import { TOKEN_SPAN_MS } from '../../../src/registry/store/issuance-store.ts';
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
