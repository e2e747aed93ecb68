import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { longestKeptSvidTtl } from '../../src/ca/certificate-authority.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import type { AuthorityInfo, CertificateAuthority, X509Svid } from '../../src/ca/types.ts';
import { assertIssues, DAY, HOUR, MINUTE, openTestAuthority, request, SECOND, until, YEAR } from './support.ts';

/** Lifetime of an intermediate. */
const LIFE = DAY;

const intermediates = (ca: CertificateAuthority): AuthorityInfo[] =>
  ca.authorities().filter((authority) => authority.role === 'intermediate');
const roots = (ca: CertificateAuthority): AuthorityInfo[] =>
  ca.authorities().filter((authority) => authority.role === 'root');

/** Puts a file in the place of the directory: then even root cannot write there. */
function blockWrites(dir: string): { restore(): void } {
  renameSync(dir, `${dir}.away`);
  writeFileSync(dir, '');
  return {
    restore() {
      rmSync(dir);
      renameSync(`${dir}.away`, dir);
    },
  };
}

/** The notifications, in order. */
function listen(ca: CertificateAuthority): string[] {
  const told: string[] = [];
  let { sequenceNumber } = ca.bundle();
  ca.onBundleChange((bundle) => {
    assert.ok(bundle.sequenceNumber > sequenceNumber);
    sequenceNumber = bundle.sequenceNumber;
    told.push('bundle');
  });
  ca.onReplaced(() => told.push('replaced'));
  return told;
}

/** The subject of the root that signed the SVID's intermediate. */
function issuerOf(svid: X509Svid): string {
  const [, intermediate] = pemBlocks(svid.certificateChain, 'CERTIFICATE');
  return new X509Certificate(intermediate!).issuer.replaceAll('\n', ',');
}

test('at first there are one root, one intermediate and a bundle whose number is the time', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  assert.deepEqual(
    ca.authorities().map((authority) => authority.role),
    ['root', 'intermediate'],
  );
  assert.equal(ca.bundle().sequenceNumber, clock.now() / SECOND);
  assert.equal(ca.bundle().x509Authorities.length, 1);
});

test('an intermediate is replaced at half its life, and the bundle does not change', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock, dir } = authority;
  const told = listen(ca);
  const [first] = intermediates(ca);
  const before = await ca.issue(request());
  assert.equal(before.authorityId, first!.id);
  clock.advance(LIFE / 2 - 1);
  assert.equal((await ca.issue(request())).authorityId, first!.id);
  clock.advance(1);
  await until(() => intermediates(ca).length === 2);
  const after = await assertIssues(authority, ca);
  assert.notEqual(after.authorityId, first!.id);
  assert.deepEqual(told, []);
  // SVIDs of the old one are valid until it ends; then its file is removed.
  clock.advance(LIFE / 2);
  await until(() => !intermediates(ca).some((i) => i.id === first!.id));
  await until(() => !readdirSync(dir).includes(`intermediate-${first!.id}.pem`));
  assert.equal(readdirSync(dir).filter((name) => name.startsWith('intermediate')).length, 2);
});

test('the longest SVID TTL that is honoured in full is half the life of an intermediate', async (t) => {
  const caTtl = 6 * 3600;
  const authority = await openTestAuthority(t, { caTtl });
  const ttl = longestKeptSvidTtl(caTtl);
  assert.equal(ttl, 3 * 3600);
  for (let step = 0; step < 40; step += 1) {
    const svid = await authority.ca.issue(request({ ttl }));
    assert.equal(svid.notAfter, Math.floor((authority.clock.now() + ttl * SECOND) / SECOND) * SECOND);
    authority.clock.set(authority.clock.now() + 17 * 60 * SECOND + 1);
  }
  assert.deepEqual(
    authority.lines().filter((line) => line.level === 'warn'),
    [],
  );
});

test('a restart keeps the intermediate while more than half of its life is left, then replaces it', async (t) => {
  const authority = await openTestAuthority(t);
  const [first] = intermediates(authority.ca);
  authority.clock.set(authority.clock.now() + LIFE / 2 - 1);
  const again = await authority.restart();
  assert.equal((await assertIssues(authority, again)).authorityId, first!.id);
  authority.clock.set(authority.clock.now() + 1);
  const later = await authority.restart();
  assert.notEqual((await assertIssues(authority, later)).authorityId, first!.id);
  assert.deepEqual(later.bundle(), again.bundle());
});

test('a changed CA TTL applies from the next start', async (t) => {
  const authority = await openTestAuthority(t);
  const shorter = await authority.restart({ caTtl: HOUR / SECOND });
  const svid = await shorter.issue(request({ ttl: 2 * 3600 }));
  assert.equal(svid.notAfter, authority.clock.now() + HOUR);
  const longer = await authority.restart({ caTtl: (7 * DAY) / SECOND });
  const long = await longer.issue(request({ ttl: (3 * DAY) / SECOND }));
  assert.equal(long.notAfter, authority.clock.now() + 3 * DAY);
});

test('an intermediate that expired during a pause is replaced before the next signature', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const told = listen(ca);
  clock.set(clock.now() + 3 * LIFE); // as in a suspend: no deadline is called
  await assertIssues(authority, ca);
  assert.equal(intermediates(ca).length, 1);
  assert.deepEqual(told, []);
});

test('a year ahead, SVIDs are issued under the same root', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const bundle = ca.bundle();
  clock.advance(YEAR);
  await assertIssues(authority, ca);
  assert.equal(ca.bundle(), bundle);
});

test('an expired root is replaced at once: an error in the log, a new bundle, and all listeners are told', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const told = listen(ca);
  const [first] = roots(ca);
  await ca.issue(request());
  clock.set(first!.notAfter);
  clock.advance(0);
  await until(() => told.includes('replaced'));
  assert.deepEqual(told, ['bundle', 'replaced']);
  assert.equal(ca.bundle().x509Authorities.length, 1);
  assert.notEqual(roots(ca)[0]!.id, first!.id);
  await assertIssues(authority, ca);
  assert.ok(authority.lines().some((line) => line.level === 'error' && line.msg.startsWith('no root is valid')));
  const { sequenceNumber } = ca.bundle();
  assert.equal((await authority.restart()).bundle().sequenceNumber, sequenceNumber);
});

test('a root that expired while the server was down is replaced at start', async (t) => {
  const authority = await openTestAuthority(t);
  authority.clock.set(authority.clock.now() + 11 * YEAR);
  const { sequenceNumber } = authority.ca.bundle();
  const again = await authority.restart();
  assert.ok(again.bundle().sequenceNumber > sequenceNumber);
  assert.equal(again.bundle().x509Authorities.length, 1);
  await assertIssues(authority, again);
});

test('when a clock that jumped ahead returns, the first root signs again and both are trusted', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const start = clock.now();
  const [first] = roots(ca);
  clock.set(start + 11 * YEAR);
  await assertIssues(authority, ca);
  clock.set(start + HOUR);
  const svid = await assertIssues(authority, ca);
  assert.equal(ca.bundle().x509Authorities.length, 2);
  assert.equal(ca.bundle().sequenceNumber, Math.floor((start + 11 * YEAR) / SECOND) + 1);
  assert.equal(issuerOf(svid), first!.subject);
});

test('hours back, SVIDs come from a new intermediate under the same root, and the earlier ones are replaced', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  await ca.issue(request());
  const told = listen(ca);
  clock.set(clock.now() - 14 * HOUR);
  await assertIssues(authority, ca);
  assert.deepEqual(told, ['replaced']);
  await assertIssues(authority, ca);
  assert.deepEqual(told, ['replaced']);
});

test('a clock set back after SVIDs were issued has them replaced, even under the same intermediate', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  clock.advance(5 * HOUR);
  await ca.issue(request());
  const told = listen(ca);
  clock.set(clock.now() - 29 * SECOND);
  await assertIssues(authority, ca);
  assert.deepEqual(told, []);
  clock.set(clock.now() - HOUR);
  await assertIssues(authority, ca);
  assert.deepEqual(told, ['replaced']);
  assert.equal(intermediates(ca).length, 1);
});

test('before the start of the root another root is created and goes on signing; the first stays trusted as long as it is needed', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const [first] = roots(ca);
  const start = clock.now();
  clock.set(start - YEAR);
  const svid = await assertIssues(authority, ca);
  assert.equal(ca.bundle().x509Authorities.length, 2);
  clock.set(start + HOUR);
  assert.equal(issuerOf(await assertIssues(authority, ca)), issuerOf(svid));
  assert.equal((await authority.restart()).bundle().sequenceNumber, start / SECOND + 1);
  assert.ok(roots(ca).some(({ id, state }) => id === first!.id && state === 'retired'));
  clock.set(start + LIFE);
  const later = await authority.restart();
  await assertIssues(authority, later);
  assert.equal(later.bundle().x509Authorities.length, 1);
});

test('near the end of its root another root is published and takes over a minute later, as the intermediate could not be replaced', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  clock.set(roots(ca)[0]!.notAfter - HOUR);
  const first = await assertIssues(authority, ca);
  assert.equal(ca.bundle().x509Authorities.length, 2);
  clock.advance(MINUTE - SECOND);
  assert.equal((await assertIssues(authority, ca)).authorityId, first.authorityId);
  clock.advance(SECOND);
  const later = await assertIssues(authority, ca);
  assert.notEqual(issuerOf(later), issuerOf(first));
  assert.equal(ca.bundle().x509Authorities.length, 2);
});

test('wherever the clock goes, an SVID is valid now, within the validity of its issuers, and trusted by the bundle', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock } = authority;
  const start = clock.now();
  const instant = fc.oneof(
    fc.integer({ min: -12 * YEAR, max: 30 * YEAR }),
    fc.integer({ min: -3 * DAY, max: 3 * DAY }),
  );
  let sequenceNumber = 0;
  await fc.assert(
    fc.asyncProperty(instant, async (offset) => {
      clock.set(start + offset);
      await assertIssues(authority, ca);
      assert.ok(ca.bundle().sequenceNumber >= sequenceNumber);
      sequenceNumber = ca.bundle().sequenceNumber;
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('while nothing can be stored the old intermediate signs until its end; then nothing is issued until storing works', async (t) => {
  const authority = await openTestAuthority(t);
  const { ca, clock, dir } = authority;
  const moved = blockWrites(dir);
  const [first] = intermediates(ca);
  clock.advance(LIFE / 2);
  await until(() => authority.lines().some((line) => line.level === 'error'));
  assert.equal((await assertIssues(authority, ca)).authorityId, first!.id);
  clock.advance(LIFE / 2);
  await assert.rejects(ca.issue(request()), { code: 'ERR_CA', message: /^no authority is valid now/ });
  moved.restore();
  assert.notEqual((await assertIssues(authority, ca)).authorityId, first!.id);
});

test('a failed renewal is repeated half a minute later', async (t) => {
  const { ca, clock, dir, lines } = await openTestAuthority(t);
  const moved = blockWrites(dir);
  clock.advance(LIFE / 2);
  await until(() => lines().some((line) => line.level === 'error'));
  moved.restore();
  clock.advance(30 * SECOND);
  await until(() => intermediates(ca).length === 2);
});

test('a root that was stored but not published before a crash is prepared: nobody trusts it', async (t) => {
  const authority = await openTestAuthority(t);
  const other = await openTestAuthority(t);
  rmSync(path.join(authority.dir, `intermediate-${intermediates(authority.ca)[0]!.id}.pem`));
  const name = `root-${roots(other.ca)[0]!.id}.pem`;
  writeFileSync(path.join(authority.dir, name), readFileSync(path.join(other.dir, name)), { mode: 0o600 });
  const again = await authority.restart();
  assert.equal(again.bundle().sequenceNumber, authority.ca.bundle().sequenceNumber);
  assert.equal(again.bundle().x509Authorities.length, 1);
  assert.deepEqual(
    roots(again).map(({ state }) => state),
    roots(again).map(({ id }) => (id === roots(authority.ca)[0]!.id ? 'active' : 'prepared')),
  );
});

test('a closed authority sets no timers and signs nothing', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  assert.equal(clock.pending, 1);
  await ca.close();
  assert.equal(clock.pending, 0);
  await assert.rejects(ca.issue(request()), { code: 'ERR_CA' });
});
