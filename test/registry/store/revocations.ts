import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf } from '../../../src/audit/chain.ts';
import type { Revocation } from '../../../src/base/index.ts';
import { event, linesOf, NOON, verified } from './audit.ts';
import type { MakeDatabase } from './conformance.ts';
import { refuses } from './values.ts';

export function revocation(serial: string, more: Partial<Revocation> = {}): Revocation {
  return {
    serial,
    authorityId: 'ab',
    spiffeId: `spiffe://ilinux.io/${serial}`,
    entryId: 'e',
    notAfter: NOON + 3_600_000,
    revokedAt: NOON,
    reason: 'key-compromise',
    ...more,
  };
}

export function bySerial(revocations: readonly Revocation[]): Revocation[] {
  return revocations.toSorted((a, b) => (a.serial < b.serial ? -1 : 1));
}

export function testRevocations(database: MakeDatabase): void {
  test('revocations come back as they went in, from every store on the database, with rows of the audit', async (t) => {
    const shared = database(t);
    const [store, other] = [await shared.open(), await shared.open()];
    const all = [revocation('01'), revocation('0a', { reason: 'certificate-hold' }), revocation('ff00')];
    const events = all.map(({ serial }) => event(NOON, { action: 'svid.revoked', target: serial }));
    await store.revocations.add(all.slice(0, 1), [bodyOf(events[0]!)]);
    await other.revocations.add(all.slice(1), events.slice(1));
    await store.revocations.add([]);
    for (const one of [store, other]) assert.deepEqual(bySerial(await one.revocations.load()), all);
    await store.revocations.remove([all[1]!], [event(NOON, { action: 'svid.restored', target: '0a' })]);
    assert.deepEqual(bySerial(await other.revocations.load()), [all[0], all[2]]);
    const lines = await linesOf(store.audit);
    verified(lines);
    const told = lines.slice(2).map((line) => JSON.parse(line) as { action: string; target: string });
    assert.deepEqual(
      told.map(({ action, target }) => `${action} ${target}`),
      ['svid.revoked 01', 'svid.revoked 0a', 'svid.revoked ff00', 'svid.restored 0a'],
    );
  });

  test('a revocation that another server made first stays as it is, unless it is a hold, and only that one can be removed', async (t) => {
    const shared = database(t);
    const [store, other] = [(await shared.open()).revocations, (await shared.open()).revocations];
    const first = revocation('01');
    const second = revocation('01', { reason: 'certificate-hold', revokedAt: NOON + 1 });
    await store.add([first]);
    await other.add([second, revocation('02')]);
    assert.deepEqual(bySerial(await store.load()), [first, revocation('02')]);
    await refuses(other.remove([revocation('02'), second]), 'ERR_REVISION');
    await refuses(other.remove([revocation('02'), revocation('03')]), 'ERR_NOT_FOUND');
    assert.deepEqual(bySerial(await store.load()), [first, revocation('02')]);
    await other.remove([first]);
    assert.deepEqual(await store.load(), [revocation('02')]);
    await store.add([second]);
    await other.add([first]);
    assert.deepEqual(bySerial(await store.load()), [first, revocation('02')]);
  });

  test('revocations of one call are recorded all or none, with their rows of the audit', async (t) => {
    const store = await database(t).open();
    const head = await store.audit.head();
    const wrong = revocation('02', { notAfter: 1.5 });
    await refuses(store.revocations.add([revocation('01'), wrong], [event(NOON)]), 'ERR_STORE');
    await refuses(store.revocations.remove([revocation('01')], [event(NOON)]), 'ERR_NOT_FOUND');
    assert.deepEqual(await store.revocations.load(), []);
    assert.equal((await store.audit.head()).sequence, head.sequence);
  });

  test('revocations of ended certificates are removed, the others stay', async (t) => {
    const { revocations } = await database(t).open();
    const ends = [NOON - 1, NOON, NOON + 1];
    const all = ends.map((notAfter, at) => revocation(`0${at}`, { notAfter }));
    await revocations.add(all);
    assert.deepEqual(await revocations.removeEnded(NOON), ['00']);
    assert.deepEqual(await revocations.removeEnded(NOON), []);
    assert.deepEqual(bySerial(await revocations.load()), all.slice(1));
  });

  test('the feed has revocations, and that they were removed', async (t) => {
    const shared = database(t);
    const [store, other] = [await shared.open(), await shared.open()];
    const start = await store.changes.cursor();
    await store.revocations.add([revocation('01'), revocation('02', { notAfter: NOON - 1 })]);
    await store.revocations.add([revocation('01', { reason: 'superseded' })]);
    const page = await other.changes.changesSince(start, 9);
    assert.ok(page !== 'reload');
    const changes = page.changes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(changes, [
      { of: 'revocation', name: '01', now: revocation('01') },
      { of: 'revocation', name: '02', now: revocation('02', { notAfter: NOON - 1 }) },
    ]);
    await store.revocations.removeEnded(NOON);
    await store.revocations.remove([revocation('01')]);
    const later = await other.changes.changesSince(page.cursor, 9);
    assert.ok(later !== 'reload');
    assert.deepEqual(later.changes, [
      { of: 'revocation', name: '02', now: undefined },
      { of: 'revocation', name: '01', now: undefined },
    ]);
  });
}
