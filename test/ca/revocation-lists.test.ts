/** Revocation lists in the bundle: what OpenSSL accepts with them, their times, and rotations while there are some. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Revocation } from '../../src/base/revocation.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import type { LaggingProxy, X509Svid } from '../../src/ca/types.ts';
import type { TrustBundle } from '../../src/spiffe/bundle.ts';
import { makeCertificate } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DAY, HOUR, MINUTE, openTestAuthority, request, SECOND, type TestAuthority, until } from './support.ts';

const PROXY: LaggingProxy = { pid: 1, uid: 1, node: undefined, name: 'a', rejection: undefined };

function revoked(svid: X509Svid, now: number): Revocation {
  const { serial, authorityId, spiffeId, entryId, notAfter } = svid;
  return { serial, authorityId, spiffeId, entryId, notAfter, revokedAt: now, reason: 'key-compromise' };
}

/** What OpenSSL says of the SVID with this bundle at this time, as Envoy checks it: `OK`, or the error. */
function verify(t: TestContext, svid: X509Svid, bundle: TrustBundle, now: number): string {
  const dir = tempDir(t);
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(path.join(dir, name), content);
    return path.join(dir, name);
  };
  const [leaf, ...above] = pemBlocks(svid.certificateChain, 'CERTIFICATE');
  const lists = bundle.crlsPem.length === 0 ? [] : ['-crl_check_all', '-CRLfile', file('crls', bundle.crlsPem)];
  const { stdout, stderr } = spawnSync('openssl', [
    ...['verify', '-attime', String(Math.floor(now / 1000)), '-CAfile', file('roots', bundle.authoritiesPem), ...lists],
    ...['-untrusted', file('above', above.join('')), file('leaf', leaf!)],
  ]);
  const text = `${stdout}${stderr}`;
  return /: OK$/m.test(text) ? 'OK' : (/error \d+ at \d+ depth lookup: (.*)$/m.exec(text)?.[1] ?? text);
}

/** The times of the lists of a bundle, as OpenSSL reads them. */
function listsOf(t: TestContext, { crls }: TrustBundle): { from: number; until: number; serials: string[] }[] {
  return crls.map((der) => {
    const file = path.join(tempDir(t), 'crl');
    writeFileSync(file, der);
    const text = spawnSync('openssl', ['crl', '-inform', 'DER', '-in', file, '-noout', '-text'], { encoding: 'utf8' });
    const time = (name: string) => Date.parse(new RegExp(`${name}: (.*)`).exec(text.stdout)![1]!);
    const serials = [...text.stdout.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, serial]) => serial!.toLowerCase());
    return { from: time('Last Update'), until: time('Next Update'), serials };
  });
}

/** The authority's bundles from now on. */
function bundlesOf({ ca }: Pick<TestAuthority, 'ca'>): TrustBundle[] {
  const all: TrustBundle[] = [];
  ca.onBundleChange((bundle) => all.push(bundle));
  return all;
}

describe('revocation lists', () => {
  it('come with those of all authorities in one change, and refuse the revoked SVID alone', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    const [bad, good] = [await ca.issue(request()), await ca.issue(request({ entryId: 'other' }))];
    assert.deepEqual([ca.bundle().crls, ca.bundle().epoch, ca.revocationLists()], [[], undefined, []]);
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'OK');
    const bundles = bundlesOf(authority);
    const before = ca.bundle().sequenceNumber;
    const number = await ca.setRevoked([revoked(bad, clock.now())]);
    assert.equal(bundles.length, 1);
    const [bundle] = bundles as [TrustBundle];
    assert.ok(number > before && bundle.sequenceNumber === number);
    // Root, the intermediate that signs, and the next one.
    assert.equal(bundle.crls.length, 3);
    assert.equal(verify(t, bad, bundle, clock.now()), 'certificate revoked');
    assert.equal(verify(t, good, bundle, clock.now()), 'OK');
    const lists = listsOf(t, bundle);
    assert.deepEqual(
      lists.flatMap(({ serials }) => serials),
      [bad.serial],
    );
    const ends = new Map(ca.authorities().map(({ id, notAfter }) => [id, notAfter]));
    for (const [at, { authorityId, thisUpdate, nextUpdate, entries }] of ca.revocationLists().entries()) {
      assert.deepEqual([thisUpdate, nextUpdate], [clock.now() - HOUR, ends.get(authorityId)]);
      assert.deepEqual([lists[at]!.from, lists[at]!.until], [thisUpdate, nextUpdate]);
      assert.equal(entries, authorityId === bad.authorityId ? 1 : 0);
    }
  });

  it('are signed again only for authorities whose list changes, each time for a later time', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    const [one, two] = [await ca.issue(request()), await ca.issue(request())];
    await ca.setRevoked([revoked(one, clock.now())]);
    const first = ca.bundle();
    await ca.setRevoked(ca.bundle() && [revoked(one, clock.now()), revoked(two, clock.now())]);
    const second = ca.bundle();
    const kept = first.crls.filter((der) => second.crls.some((other) => other.equals(der)));
    assert.equal(kept.length, 2);
    assert.ok(second.sequenceNumber > first.sequenceNumber);
    const from = (bundle: TrustBundle) => listsOf(t, bundle).find(({ serials }) => serials.length > 0)!.from;
    assert.equal(from(second), from(first) + SECOND);
    clock.advance(-10 * MINUTE);
    const restarted = await authority.restart({ revoked: [revoked(one, clock.now()), revoked(two, clock.now())] });
    assert.equal(from(restarted.bundle()), from(second) + SECOND);
    assert.ok(restarted.bundle().sequenceNumber > second.sequenceNumber);
    assert.equal(verify(t, two, restarted.bundle(), clock.now()), 'certificate revoked');
  });

  it('go when nothing that is revoked is valid any more, also after a restart', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    const svid = await ca.issue(request());
    const all = [revoked(svid, clock.now())];
    await ca.setRevoked(all);
    const listed = ca.bundle();
    clock.advanceTo(svid.notAfter);
    await until(() => ca.bundle().crls.length === 0);
    assert.deepEqual(ca.revocationLists(), []);
    const left = ca.bundle();
    // An Envoy would resume sessions from before the lists with a set of CAs that it had then.
    assert.ok(left.epoch?.equals(listed.epoch!));
    const restarted = (await authority.restart({ revoked: all })).bundle();
    assert.deepEqual(
      [restarted.crls, restarted.epoch, restarted.sequenceNumber],
      [[], left.epoch, left.sequenceNumber],
    );
  });

  it('begin in the past and have what is revoked, also after the clock was set back', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    const [good, bad] = [await ca.issue(request({ ttl: 28_800 })), await ca.issue(request({ ttl: 3 * 3_600 }))];
    clock.advance(2.5 * HOUR);
    await ca.setRevoked([revoked(bad, clock.now())]);
    const listed = ca.bundle();
    clock.set(clock.now() - 2 * HOUR);
    clock.tick();
    await until(() => ca.bundle() !== listed);
    assert.ok(ca.revocationLists().every(({ thisUpdate }) => thisUpdate <= clock.now()));
    assert.equal(verify(t, good, ca.bundle(), clock.now()), 'OK');
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'certificate revoked');
    clock.advanceTo(bad.notAfter);
    await until(() => {
      clock.tick();
      return ca.bundle().crls.length === 0;
    });
    clock.set(clock.now() - HOUR);
    clock.tick();
    await until(() => ca.bundle().crls.length > 0);
    assert.equal(verify(t, good, ca.bundle(), clock.now()), 'OK');
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'certificate revoked');
  });

  it('lose certificates that have ended together, not one by one', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    const svids = [];
    for (const ttl of [61, 62, 700, 3600]) svids.push(await ca.issue(request({ ttl })));
    await ca.setRevoked(svids.map((svid) => revoked(svid, clock.now())));
    const bundles = bundlesOf(authority);
    const entries = () => ca.revocationLists().reduce((sum, list) => sum + list.entries, 0);
    clock.advance(9 * MINUTE);
    assert.equal(entries(), 4);
    clock.advance(2 * MINUTE);
    await until(() => entries() === 2);
    assert.equal(bundles.length, 1);
  });

  it('have a new throw-away CA with each change, whose key nobody has', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock, dir } = authority;
    const [one, two] = [await ca.issue(request()), await ca.issue(request())];
    const epochs: string[] = [];
    for (const all of [[one], [one, two]]) {
      await ca.setRevoked(all.map((svid) => revoked(svid, clock.now())));
      epochs.push(String(ca.bundle().epoch));
    }
    const [first, second] = epochs.map((text) => new X509Certificate(text));
    assert.equal(first!.subjectAltName, 'URI:spiffe://crl-epoch.invalid');
    assert.notEqual(first!.fingerprint256, second!.fingerprint256);
    const files = readdirSync(dir).map((name) => readFileSync(path.join(dir, name), 'utf8'));
    const keys = files.join('').match(/BEGIN PRIVATE KEY/g)!.length;
    assert.equal(keys, ca.authorities().length, 'a key beside those of the authorities is stored');
    const without = await authority.restart({ revoked: [revoked(one, clock.now())], revocationEpoch: false });
    assert.equal(without.bundle().epoch, undefined);
    assert.ok(without.bundle().crls.length > 0);
    const again = await authority.restart({ revoked: [revoked(one, clock.now())] });
    assert.ok(again.bundle().epoch !== undefined && !epochs.includes(String(again.bundle().epoch)));
  });
});

describe('while the states cannot be stored', () => {
  it('a revocation fails and is published later, and no root comes that would keep its list out', async (t) => {
    const { ca, clock, dir } = await openTestAuthority(t);
    const bad = await ca.issue(request());
    renameSync(dir, `${dir}-away`);
    await assert.rejects(ca.setRevoked([revoked(bad, clock.now())]), { code: 'ERR_CA', message: /tried again/ });
    assert.deepEqual(ca.bundle().crls, []);
    renameSync(`${dir}-away`, dir);
    const validity = { notBefore: clock.now() - DAY, notAfter: clock.now() + 365 * DAY };
    const { pem } = await makeCertificate({ uris: ['spiffe://ilinux.io'], ...validity });
    await assert.rejects(ca.carry(pem, clock.now() + DAY), { code: 'ERR_AUTHORITY_STATE' });
    clock.advance(30 * SECOND);
    await until(() => ca.bundle().crls.length === 3);
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'certificate revoked');
  });

  it('a rotation that waits for proxies fails', async (t) => {
    const { ca, clock, dir } = await openTestAuthority(t, { lagging: () => [PROXY] });
    const bad = await ca.issue(request());
    await ca.setRevoked([revoked(bad, clock.now())]);
    const failed = assert.rejects(ca.rotate('intermediate'), { code: 'ERR_CA', message: /could not be replaced/ });
    let isOver = false;
    void failed.finally(() => {
      isOver = true;
    });
    await new Promise(setImmediate);
    renameSync(dir, `${dir}-away`);
    await until(() => {
      clock.advance(SECOND);
      return isOver;
    });
    await failed;
    renameSync(`${dir}-away`, dir);
  });
});

describe('rotations while certificates are revoked', () => {
  it('sign with an intermediate only after its list was published and acknowledged', async (t) => {
    let lagging: LaggingProxy[] = [];
    const authority = await openTestAuthority(t, { lagging: () => lagging });
    const { ca, clock } = authority;
    const bad = await ca.issue(request());
    await ca.setRevoked([revoked(bad, clock.now())]);
    const listed = new Set(ca.revocationLists().map(({ authorityId }) => authorityId));
    const first = ca.bundle();
    lagging = [PROXY];
    let rotated = false;
    const rotating = ca.rotate('intermediate').then(() => {
      rotated = true;
    });
    const meanwhile = await ca.issue(request());
    assert.equal(meanwhile.authorityId, bad.authorityId);
    assert.equal(rotated, false);
    lagging = [];
    clock.advance(6 * SECOND);
    await rotating;
    const next = await ca.issue(request());
    assert.notEqual(next.authorityId, bad.authorityId);
    assert.ok(listed.has(next.authorityId), 'a proxy with the first lists would refuse it');
    assert.equal(verify(t, next, first, clock.now()), 'OK');
    assert.equal(verify(t, next, ca.bundle(), clock.now()), 'OK');
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'certificate revoked');
  });

  it('do not wait for proxies longer than for 5 s if an operator asks', async (t) => {
    const authority = await openTestAuthority(t, { lagging: () => [PROXY] });
    const { ca, clock } = authority;
    const bad = await ca.issue(request());
    await ca.setRevoked([revoked(bad, clock.now())]);
    const rotating = ca.rotate('intermediate');
    for (let i = 0; i < 100; i += 1) {
      clock.advance(100);
      await new Promise(setImmediate);
    }
    await rotating;
    assert.notEqual((await ca.issue(request())).authorityId, bad.authorityId);
  });

  it('publish a new root together with its list and that of its intermediate', async (t) => {
    const authority = await openTestAuthority(t, { rootPublishTime: HOUR / SECOND });
    const { ca, clock } = authority;
    const bad = await ca.issue(request({ ttl: (8 * HOUR) / SECOND }));
    await ca.setRevoked([revoked(bad, clock.now())]);
    const good = await ca.issue(request());
    const bundles = bundlesOf(authority);
    await ca.rotate('root');
    assert.equal(bundles.length, 1);
    const [published] = bundles as [TrustBundle];
    assert.deepEqual([published.x509Authorities.length, published.crls.length], [2, 5]);
    assert.equal(verify(t, good, published, clock.now()), 'OK');
    await until(() => {
      clock.advance(10 * SECOND);
      return ca.authorities().some(({ role, state }) => role === 'root' && state === 'retired');
    });
    const next = await ca.issue(request());
    assert.notEqual(next.authorityId, bad.authorityId);
    // With the bundle from when the root was published, and with the present one.
    assert.equal(verify(t, next, published, clock.now()), 'OK');
    assert.equal(verify(t, next, ca.bundle(), clock.now()), 'OK');
    assert.equal(verify(t, bad, ca.bundle(), clock.now()), 'certificate revoked');
  });

  it('keep each SVID accepted through a life of renewals, a taint and a restart', async (t) => {
    const authority = await openTestAuthority(t);
    let { ca } = authority;
    const { clock } = authority;
    const bad = await ca.issue(request({ ttl: DAY / 2 / SECOND }));
    const all = [revoked(bad, clock.now())];
    await ca.setRevoked(all);
    for (let step = 0; step < 10; step += 1) {
      clock.advance(HOUR);
      if (step === 4) ca = await authority.restart({ revoked: all });
      if (step === 7)
        await ca.taint(ca.authorities().find(({ role, state }) => role === 'root' && state === 'active')!.id);
      await new Promise(setImmediate);
      const svid = await ca.issue(request());
      assert.equal(verify(t, svid, ca.bundle(), clock.now()), 'OK', `step ${step}`);
    }
  });
});

describe('revocation is refused, with the reason', () => {
  it('while the bundle has a root whose key is elsewhere; and such a root while there are lists', async (t) => {
    const authority = await openTestAuthority(t);
    const { ca, clock } = authority;
    assert.equal(ca.whyNotRevocable(), undefined);
    const svid = await ca.issue(request());
    const validity = { notBefore: clock.now() - DAY, notAfter: clock.now() + 365 * DAY };
    const { pem: other } = await makeCertificate({ uris: ['spiffe://ilinux.io'], ...validity });
    await ca.carry(other, clock.now() + DAY);
    assert.match(ca.whyNotRevocable()!, /the bundle has the root [0-9a-f]+, whose key is elsewhere/);
    await ca.setRevoked([revoked(svid, clock.now())]);
    assert.deepEqual(ca.bundle().crls, []);
    const { id } = ca.authorities().find(({ state }) => state === 'carried')!;
    await ca.drop(id);
    await ca.setRevoked([revoked(svid, clock.now())]);
    assert.equal(ca.bundle().crls.length, 3);
    await assert.rejects(ca.carry(other, clock.now() + DAY), {
      code: 'ERR_AUTHORITY_STATE',
      message: /certificates are revoked/,
    });
  });
});
