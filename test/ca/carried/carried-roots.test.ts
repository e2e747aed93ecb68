/** Roots of another server in the bundle: their end, their removal, what is refused, restarts and the audit. */

import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AuditEvent } from '../../../src/audit/event.ts';
import { SidekeyError } from '../../../src/base/errors.ts';
import { lastAuthorities, restoreAuthorities } from '../../../src/ca/restored-authorities.ts';
import type { CertificateAuthority, TrustBundle } from '../../../src/ca/types.ts';
import { type CertificateOptions, makeCertificate } from '../../support/certificates.ts';
import { TestClock } from '../../support/clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, HOUR, openTestAuthority, TRUST_DOMAIN, until } from '../support.ts';
import { newRoot, TestUpstream } from '../test-upstream.ts';

const BY = { kind: 'unix', uid: 0, pid: 7 } as const;
const ID = 'spiffe://ilinux.io';

async function open(t: TestContext) {
  const events: AuditEvent[] = [];
  const audit = {
    fails: false,
    revision: 0,
    async append(added: readonly AuditEvent[], options: { readonly authorityRevision?: number | undefined } = {}) {
      if (audit.fails) throw new Error('the disk is full');
      events.push(...added);
      audit.revision = options.authorityRevision ?? audit.revision;
    },
    authorityRevision: async () => audit.revision,
  };
  const authority = await openTestAuthority(t, { audit });
  events.length = 0;
  const bundles: TrustBundle[] = [];
  authority.ca.onBundleChange((bundle) => void bundles.push(bundle));
  /** A root that is valid now, by the clock of the test. */
  const root = (options: CertificateOptions = {}) => {
    return makeCertificate({ uris: [ID], ...validOn(authority.clock), ...options });
  };
  return { ...authority, audit, events, bundles, root };
}

const validOn = (clock: TestClock) => ({ notBefore: clock.now() - DAY, notAfter: clock.now() + 365 * DAY });
const carriedOf = (ca: CertificateAuthority) => ca.authorities().filter(({ state }) => state === 'carried');
const has = (bundle: TrustBundle, der: Buffer) => bundle.x509Authorities.some((one) => one.equals(der));

test('a carried root is in the bundle until its end, and signs nothing', async (t) => {
  const { ca, clock, bundles, root, events } = await open(t);
  const before = ca.bundle();
  const { pem, der } = await root();
  const end = clock.now() + 7 * DAY;
  await ca.carry(pem, end, BY);
  assert.equal(bundles.length, 1);
  assert.ok(has(ca.bundle(), der));
  assert.equal(ca.bundle().x509Authorities.length, before.x509Authorities.length + 1);
  assert.ok(ca.bundle().sequenceNumber > before.sequenceNumber);
  const [carried = assert.fail(), ...more] = carriedOf(ca);
  assert.deepEqual(more, []);
  assert.deepEqual([carried.role, carried.leavesAt, carried.subject], ['root', end, 'CN=root']);
  assert.equal(ca.signs(carried.id), false);
  clock.advance(7 * DAY - HOUR);
  assert.equal(bundles.filter((bundle) => !has(bundle, der)).length, 0);
  clock.advance(HOUR);
  await until(() => !has(ca.bundle(), der));
  assert.deepEqual(carriedOf(ca), []);
  await until(() => events.some(({ action, by }) => action === 'authority.removed' && by.kind === 'server'));
  const rows = events.filter(({ target, action }) => target === carried.id || action === 'authority.carry_asked');
  const shown = { role: 'root', state: 'carried', until: new Date(end).toISOString() };
  assert.deepEqual(
    rows.map(({ action, by, before: from, after: to }) => [action, by.kind, from, to]),
    [
      ['authority.carry_asked', 'unix', undefined, undefined],
      ['authority.carried', 'unix', undefined, shown],
      ['authority.removed', 'server', shown, { role: 'root', state: 'gone' }],
    ],
  );
});

test('a root leaves the bundle when it ends itself, and own roots among the given ones are skipped', async (t) => {
  const { ca, clock, root } = await open(t);
  const own = ca.bundle();
  const short = await root({ notAfter: clock.now() + DAY });
  await ca.carry(own.pem.toString() + short.pem, clock.now() + 7 * DAY, BY);
  assert.deepEqual(
    carriedOf(ca).map(({ leavesAt }) => leavesAt),
    [clock.now() + DAY],
  );
  assert.equal(ca.bundle().x509Authorities.length, own.x509Authorities.length + 1);
  clock.advance(DAY);
  await until(() => !has(ca.bundle(), short.der));
});

test('carrying a root again changes its end, and the bundle stays', async (t) => {
  const { ca, clock, bundles, root, events } = await open(t);
  const { pem } = await root();
  await ca.carry(pem, clock.now() + DAY, BY);
  const { sequenceNumber } = ca.bundle();
  await ca.carry(pem, clock.now() + 2 * DAY, BY);
  assert.deepEqual([ca.bundle().sequenceNumber, bundles.length], [sequenceNumber, 1]);
  assert.equal(carriedOf(ca)[0]!.leavesAt, clock.now() + 2 * DAY);
  const row = events.at(-1)!;
  assert.equal(row.action, 'authority.carried');
  assert.notDeepEqual(row.before, row.after);
});

test('an operator drops a carried root; it cannot be tainted', async (t) => {
  const { ca, clock, root, events } = await open(t);
  const { pem, der } = await root();
  await ca.carry(pem, clock.now() + DAY, BY);
  const { id } = carriedOf(ca)[0]!;
  const { sequenceNumber } = ca.bundle();
  await assert.rejects(ca.taint(id, BY), /sidekey ca drop/);
  await ca.drop(id, BY);
  assert.ok(!has(ca.bundle(), der));
  assert.ok(ca.bundle().sequenceNumber > sequenceNumber);
  assert.deepEqual([events.at(-1)!.action, events.at(-1)!.by], ['authority.removed', BY]);
  await assert.rejects(ca.drop(id, BY), { code: 'ERR_NOT_FOUND' });
});

test('carried roots survive a restart, and end while the server is off', async (t) => {
  const { ca, clock, root, restart, dir } = await open(t);
  const { pem, der } = await root();
  await ca.carry(pem, clock.now() + DAY, BY);
  const { sequenceNumber } = ca.bundle();
  const second = await restart();
  assert.ok(has(second.bundle(), der));
  assert.equal(second.bundle().sequenceNumber, sequenceNumber);
  await second.close();
  clock.advance(2 * DAY);
  const third = await restart();
  assert.ok(!has(third.bundle(), der));
  assert.ok(third.bundle().sequenceNumber > sequenceNumber);
  assert.deepEqual(JSON.parse(readFileSync(path.join(dir, 'state.json'), 'utf8')).carried.roots, {});
});

test('what is no root of this trust domain is refused, with the problem', async (t) => {
  const { ca, clock, root } = await open(t);
  const good = (await root()).pem;
  const now = clock.now();
  const leaf = await root({ isCa: false, keyUsage: 1 });
  const many = (await Promise.all(Array.from({ length: 9 }, () => root()))).map(({ pem }) => pem).join('');
  const cases: [pem: string, end: number, says: RegExp][] = [
    ['', now + DAY, /no certificate/],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', now + DAY, /cannot be read/],
    [leaf.pem, now + DAY, /not a self-signed CA certificate/],
    [(await root({ keyUsage: 1 })).pem, now + DAY, /certificate 1 is not a self-signed CA certificate/],
    [(await root({ uris: ['spiffe://other.test'] })).pem, now + DAY, /is of spiffe:\/\/other\.test/],
    [(await root({ notAfter: now - 1000 })).pem, now + DAY, /not valid now/],
    [`${good}${leaf.pem}`, now + DAY, /certificate 2/],
    [`${good}${leaf.privateKey}`, now + DAY, /private key/],
    [many, now + DAY, /at most 8/],
    [good, now, /in the future/],
    [good, Number.NaN, /in the future/],
    [good, now + 91 * DAY, /at most 90 days/],
  ];
  for (const [pem, end, says] of cases) {
    const refusal = await ca.carry(pem, end, BY).catch((error: unknown) => error);
    assert.ok(refusal instanceof SidekeyError && refusal.code === 'ERR_BAD_INPUT', `${says}: ${refusal}`);
    assert.match(refusal.message, says);
  }
  const own = ca.bundle().pem.toString();
  await assert.rejects(ca.carry(own, now + DAY, BY), { code: 'ERR_AUTHORITY_STATE' });
  for (let count = 0; count < 8; count += 1) await ca.carry((await root()).pem, now + DAY, BY);
  await assert.rejects(ca.carry(good, now + DAY, BY), { code: 'ERR_ROTATION_LIMIT' });
  assert.equal(carriedOf(ca).length, 8);
});

test('requests at the same time cannot carry more roots than one after the other', async (t) => {
  const { ca, clock, root } = await open(t);
  const given = await Promise.all(Array.from({ length: 10 }, () => root()));
  const results = await Promise.allSettled(given.map(({ pem }) => ca.carry(pem, clock.now() + DAY, BY)));
  assert.equal(results.filter(({ status }) => status === 'rejected').length, 2);
  assert.equal(carriedOf(ca).length, 8);
});

test('a former root of this server is not carried: what was tainted never comes back', async (t) => {
  const { ca, clock, root, restart, lines, dir } = await open(t);
  const own = ca.bundle().pem.toString();
  const [first, { id }] = [ca.bundle().x509Authorities[0]!, ca.authorities().find(({ role }) => role === 'root')!];
  const leaked = createPrivateKey(readFileSync(path.join(dir, `root-${id}.pem`)));
  const forged = await makeCertificate({ ...{ name: 'forged', uris: [ID], key: leaked }, ...validOn(clock) });
  await ca.taint(id, BY);
  await until(() => {
    clock.advance(20);
    return !has(ca.bundle(), first);
  });
  const other = await root();
  await ca.carry(own + forged.pem + other.pem, clock.now() + DAY, BY);
  for (const now of [ca, await restart()]) {
    assert.deepEqual(
      carriedOf(now).map(({ subject }) => subject),
      ['CN=root'],
    );
    assert.ok(!has(now.bundle(), first) && !has(now.bundle(), forged.der));
    for (const pem of [own, forged.pem])
      await assert.rejects(now.carry(pem, clock.now() + DAY, BY), { code: 'ERR_AUTHORITY_STATE' });
  }
  assert.ok(lines().some(({ level, msg }) => level === 'warn' && /tainted.*not carried/.test(msg)));
});

test('a former root that was only replaced is skipped too', async (t) => {
  const { ca, clock, restart } = await open(t);
  const own = ca.bundle().pem.toString();
  await ca.rotate('root', BY);
  await until(() => {
    clock.advance(DAY);
    return ca.bundle().pem.toString().indexOf(own) < 0;
  });
  for (const now of [ca, await restart()])
    await assert.rejects(now.carry(own, clock.now() + DAY, BY), { code: 'ERR_AUTHORITY_STATE' });
});

test("an upstream's root that is carried too can be tainted, and then is carried no more", async (t) => {
  const clock = new TestClock();
  const upstream = new TestUpstream(await newRoot(clock.now()), () => clock.now());
  const { ca, restart } = await openTestAuthority(t, {}, clock);
  const shared = upstream.root.certificate;
  await ca.carry(shared.toString(), clock.now() + DAY, BY);
  const second = await restart({ upstream });
  await until(() => second.authorities().some(({ role, state }) => role === 'root' && state === 'active'));
  const { id } = carriedOf(second)[0]!;
  upstream.root = await newRoot(clock.now());
  upstream.listed = [upstream.root];
  await second.taint(id, BY);
  await until(() => {
    clock.advance(20);
    return !has(second.bundle(), shared.raw);
  });
  assert.deepEqual(carriedOf(second), []);
  await assert.rejects(second.carry(shared.toString(), clock.now() + DAY, BY), { code: 'ERR_AUTHORITY_STATE' });
});

test('a root that the audit cannot record is not carried', async (t) => {
  const { ca, clock, root, audit } = await open(t);
  const { pem, der } = await root();
  audit.fails = true;
  await assert.rejects(ca.carry(pem, clock.now() + DAY, BY), /the disk is full/);
  assert.ok(!has(ca.bundle(), der));
  audit.fails = false;
  clock.advance(HOUR);
  assert.ok(!has(ca.bundle(), der));
});

test('a backup has the carried roots; a restore leaves out those that were dropped since', async (t) => {
  const { ca, clock, root, dir } = await open(t);
  const [kept, dropped] = [await root(), await root({ name: 'dropped' })];
  await ca.carry(kept.pem + dropped.pem, clock.now() + DAY, BY);
  const files = ca.snapshot();
  await ca.drop(carriedOf(ca).find(({ subject }) => subject === 'CN=dropped')!.id, BY);
  const last = await lastAuthorities(dir, TRUST_DOMAIN);
  for (const [known, left] of [
    [undefined, 2],
    [last, 1],
  ] as const) {
    const restored = path.join(tempDir(t), 'ca');
    mkdirSync(restored, { mode: 0o700 });
    for (const [name, bytes] of files) writeFileSync(path.join(restored, name), bytes, { mode: 0o600 });
    const terms = { trustDomain: TRUST_DOMAIN, now: clock.now(), last: known, taint: [] };
    const { authorities, sequenceNumber } = await restoreAuthorities(restored, terms);
    assert.deepEqual(
      authorities.flatMap((one) => (one.state === 'carried' ? [[one.role, one.notAfter]] : [])),
      Array.from({ length: left }, () => ['root', clock.now() + DAY]),
    );
    const state = JSON.parse(readFileSync(path.join(restored, 'state.json'), 'utf8'));
    assert.equal(Object.keys(state.carried.roots).length, left);
    assert.ok(sequenceNumber.before >= state.carried.sequenceNumber);
  }
});
