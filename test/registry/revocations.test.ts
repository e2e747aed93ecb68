import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Actor } from '../../src/audit/index.ts';
import type { Revocation } from '../../src/base/index.ts';
import { Revocations } from '../../src/registry/revocations.ts';
import { WriteQueue } from '../../src/registry/write-queue.ts';
import { linesOf, verified } from './store/audit.ts';
import { revocation as stored } from './store/revocations.ts';
import { refuses } from './store/values.ts';
import { type Opened, open, SILENT } from './support.ts';

const BY: Actor = { kind: 'unix', uid: 7, pid: 8 };
const HOUR = 3_600_000;

function revocation({ clock }: Opened, serial: string, more: Partial<Revocation> = {}): Revocation {
  return stored(serial, { revokedAt: clock.now(), notAfter: clock.now() + HOUR, ...more });
}

const serials = (list: readonly Revocation[]) => list.map(({ serial }) => serial);

test('revocations are listed newest first, and are there after a restart', async (t) => {
  const opened = await open(t);
  const { registry, clock, file } = opened;
  const { revocations } = registry;
  assert.deepEqual(await revocations.add([revocation(opened, '02'), revocation(opened, '01')], BY), [
    revocation(opened, '02'),
    revocation(opened, '01'),
  ]);
  await clock.advance(1);
  await revocations.add([revocation(opened, '03', { reason: 'certificate-hold' })], BY);
  const again = await open(t, { file, clock });
  for (const one of [revocations, again.registry.revocations]) {
    assert.deepEqual(serials(one.list()), ['03', '01', '02']);
    assert.equal(one.size, 3);
    assert.deepEqual(one.get('03'), revocation(opened, '03', { reason: 'certificate-hold' }));
    assert.equal(one.get('04'), undefined);
  }
});

test('a certificate is revoked once: the first revocation stays, and only new ones are told', async (t) => {
  const opened = await open(t);
  const { revocations } = opened.registry;
  let told = 0;
  const stop = revocations.onChange(() => {
    told += 1;
  });
  await revocations.add([revocation(opened, '01')], BY);
  const twice = [
    revocation(opened, '01', { reason: 'certificate-hold' }),
    revocation(opened, '02', { reason: 'certificate-hold' }),
    revocation(opened, '02', { reason: 'certificate-hold' }),
  ];
  assert.deepEqual(serials(await revocations.add(twice, BY)), ['02']);
  assert.deepEqual(await revocations.add(twice, BY), []);
  assert.equal(revocations.get('01')!.reason, 'key-compromise');
  assert.equal(told, 2);
  await revocations.remove('02', BY);
  assert.equal(told, 3);
  stop();
  await revocations.add([revocation(opened, '03')], BY);
  assert.equal(told, 3);
  await refuses(revocations.remove('02', BY), 'ERR_NOT_FOUND');
});

test('a final revocation replaces a hold, and can not be undone, also if both come at once', async (t) => {
  const opened = await open(t);
  const { registry, store, clock, file } = opened;
  const { revocations } = registry;
  const held = revocation(opened, '01', { reason: 'certificate-hold' });
  await revocations.add([held], BY);
  await clock.advance(1);
  const final: Revocation = { ...held, revokedAt: clock.now(), reason: 'superseded' };
  const [replaced, undone] = await Promise.allSettled([revocations.add([final], BY), revocations.remove('01', BY)]);
  assert.deepEqual(replaced, { status: 'fulfilled', value: [final] });
  assert.equal(undone.status === 'rejected' && undone.reason.code, 'ERR_REVOCATION');
  const again = await open(t, { file, clock });
  for (const one of [revocations, again.registry.revocations]) assert.deepEqual(one.list(), [final]);
  const { before, after } = JSON.parse((await linesOf(store.audit)).at(-1)!);
  assert.deepEqual([before.reason, after.reason], ['certificate-hold', 'superseded']);
});

test('the audit has a row for each revocation and each that is undone, with reason, entry and actor', async (t) => {
  const opened = await open(t);
  const { registry, store } = opened;
  const one = revocation(opened, '0a', { reason: 'certificate-hold' });
  await registry.revocations.add([one], BY);
  await registry.revocations.remove('0a', BY);
  const lines = await linesOf(store.audit);
  verified(lines);
  const [revoked, restored] = lines.slice(-2).map((line) => JSON.parse(line) as Record<string, unknown>);
  const time = (instant: number) => new Date(instant).toISOString();
  const shown = {
    reason: 'certificate-hold',
    entry_id: 'e',
    authority_id: 'ab',
    revoked_at: time(one.revokedAt),
    not_after: time(one.notAfter),
  };
  const both = { actor: BY, target: '0a', spiffe_id: 'spiffe://ilinux.io/0a' };
  for (const [row, expected] of [
    [revoked, { action: 'svid.revoked', after: shown, before: undefined, ...both }],
    [restored, { action: 'svid.restored', before: shown, after: undefined, ...both }],
  ] as const) {
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(row![key], value, key);
  }
});

test('a revocation counts until its certificate has ended, and then is removed', async (t) => {
  const opened = await open(t);
  const { registry, store, clock } = opened;
  const { revocations } = registry;
  const rest = [revocation(opened, '01', { notAfter: clock.now() + 10 }), revocation(opened, '02')];
  await revocations.add(rest, BY);
  await clock.advance(10);
  assert.equal(revocations.size, 2);
  assert.equal(await revocations.removeEnded(clock.now()), 0);
  await clock.advance(1);
  assert.deepEqual(serials(revocations.list()), ['02']);
  assert.equal(revocations.size, 1);
  assert.ok(revocations.get('01'), 'until it is removed');
  assert.deepEqual(serials(revocations.all()), ['01', '02']);
  let told = 0;
  revocations.onChange(() => {
    told += 1;
  });
  assert.equal(await revocations.removeEnded(clock.now()), 1);
  assert.equal(await revocations.removeEnded(clock.now()), 0);
  assert.equal(told, 1);
  assert.equal(revocations.get('01'), undefined);
  assert.deepEqual(serials(await store.revocations.load()), ['02']);
});

test('more than the limit are refused, all or none, with the limit; ended ones do not count', async (t) => {
  const opened = await open(t);
  const { store, clock } = opened;
  const parts = { store: store.revocations, queue: new WriteQueue(), clock, log: SILENT, limit: 3 };
  const revocations = await Revocations.open(parts);
  await revocations.add([revocation(opened, '01', { notAfter: clock.now() }), revocation(opened, '02')]);
  const more = [revocation(opened, '03'), revocation(opened, '04')];
  const error = await refuses(revocations.add(more), 'ERR_REVOCATION');
  assert.match(error.message, /2 unexpired certificates are revoked, and 2 more would exceed the limit of 3: wait/);
  assert.equal(revocations.size, 2);
  await revocations.add([...more.slice(1), revocation(opened, '02')]);
  await clock.advance(1);
  await revocations.add([revocation(opened, '03')]);
  assert.deepEqual(serials(revocations.list()).sort(), ['02', '03', '04']);
});

test('a revocation that the store refuses is in force nowhere', async (t) => {
  const opened = await open(t);
  const { registry, store } = opened;
  let told = 0;
  registry.revocations.onChange(() => {
    told += 1;
  });
  await registry.revocations.add([revocation(opened, '01', { reason: 'certificate-hold' })]);
  await store.close();
  await refuses(registry.revocations.add([revocation(opened, '02')]), 'ERR_STORE');
  await refuses(registry.revocations.remove('01'), 'ERR_STORE');
  assert.deepEqual(serials(registry.revocations.list()), ['01']);
  assert.equal(told, 1);
});

test('10,000 revocations take one short transaction', async (t) => {
  const opened = await open(t);
  const { revocations } = opened.registry;
  const all = Array.from({ length: 10_000 }, (_, at) => revocation(opened, (at + 1).toString(16).padStart(40, '0')));
  const before = process.cpuUsage();
  await revocations.add(all, BY);
  const { user } = process.cpuUsage(before);
  t.diagnostic(`${(user / 1000).toFixed(0)} ms of processor time`);
  assert.ok(user < 2_000_000, `${user} µs`);
  assert.equal(revocations.size, 10_000);
});
