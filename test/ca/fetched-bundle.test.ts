/** The bundle where other trust domains fetch it: when new authorities sign, and the number of its document. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CertificateAuthority } from '../../src/ca/types.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { JWT } from '../jwt/support.ts';
import { DAY, MINUTE, openTestAuthority, request, SECOND, until } from './support.ts';

const HINT = 60;
/** Five hints. */
const AHEAD = 5 * MINUTE;
const FETCHED = { isFetched: true, refreshHint: HINT, rootPublishTime: 0, jwt: { ...JWT, publishBefore: 0 } } as const;

const rootOf = (ca: CertificateAuthority, state: string) =>
  ca.authorities().find((one) => one.role === 'root' && one.state === state);
const signs = (ca: CertificateAuthority) => rootOf(ca, 'active')!.id;
/** Does what is due. */
const review = (ca: CertificateAuthority) => ca.issue(request());
const document = (ca: CertificateAuthority) => bundleDocument(ca.bundle());

describe('a new root', () => {
  test('does not sign before it was published for five refresh hints', async (t) => {
    const { ca, clock } = await openTestAuthority(t, FETCHED);
    const old = signs(ca);
    await ca.rotate('root');
    const next = rootOf(ca, 'published')!;
    assert.equal(next.signsAfter, clock.now() + AHEAD);
    assert.equal(next.fetchedAt, clock.now() + AHEAD);
    clock.advance(AHEAD - 1);
    await review(ca);
    assert.equal(signs(ca), old);
    clock.advance(1);
    await review(ca);
    assert.equal(signs(ca), next.id);
  });

  test('begins its wait anew after a restart, since nobody could fetch it meanwhile', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const { clock } = authority;
    const old = signs(authority.ca);
    await authority.ca.rotate('root');
    clock.advance(AHEAD - 1);
    const ca = await authority.restart();
    clock.advance(AHEAD - 1);
    await review(ca);
    assert.equal(signs(ca), old);
    clock.advance(1);
    await review(ca);
    assert.notEqual(signs(ca), old);
  });

  test('is not held up for others when the old one is about to end', async (t) => {
    const life = { rootTtl: (4 * DAY) / SECOND, caTtl: DAY / SECOND };
    const authority = await openTestAuthority(t, { ...FETCHED, ...life, refreshHint: DAY / SECOND / 5 });
    const { clock } = authority;
    const old = signs(authority.ca);
    clock.advance(2 * DAY);
    await review(authority.ca);
    assert.ok(rootOf(authority.ca, 'published') !== undefined);
    clock.advance(DAY - 2 * MINUTE);
    const ca = await authority.restart();
    assert.equal(signs(ca), old);
    clock.advance(2 * MINUTE);
    await review(ca);
    assert.notEqual(signs(ca), old);
  });

  test('signs within seconds after a taint: nothing else is trusted', async (t) => {
    const { ca, clock } = await openTestAuthority(t, FETCHED);
    const old = signs(ca);
    await ca.taint(old);
    clock.advance(5 * SECOND);
    await until(() => rootOf(ca, 'active') !== undefined && signs(ca) !== old);
  });

  test('does not wait where nobody fetches the bundle', async (t) => {
    const { ca, clock } = await openTestAuthority(t, { ...FETCHED, isFetched: false });
    const old = signs(ca);
    await ca.rotate('root');
    assert.equal(rootOf(ca, 'published')?.fetchedAt, undefined);
    clock.advance(1);
    await review(ca);
    assert.notEqual(signs(ca), old);
  });
});

describe('a new JWT key', () => {
  test('does not sign before it was published for five refresh hints, also since a start', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const { clock } = authority;
    const { keyId } = await authority.ca.jwtSigner();
    await authority.ca.rotate('jwt');
    const next = () => authority.ca.authorities().find(({ role, state }) => role === 'jwt' && state === 'published')!;
    assert.equal(next().signsAfter, clock.now() + AHEAD);
    assert.equal(next().fetchedAt, clock.now() + AHEAD);
    clock.advance(AHEAD - 1);
    assert.equal((await authority.ca.jwtSigner()).keyId, keyId);
    const ca = await authority.restart();
    clock.advance(AHEAD - 1);
    assert.equal((await ca.jwtSigner()).keyId, keyId);
    clock.advance(1);
    assert.notEqual((await ca.jwtSigner()).keyId, keyId);
  });

  test('signs at the latest in the middle of the last third of the old one, however often the server starts', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const { clock } = authority;
    let { ca } = authority;
    const { keyId } = await ca.jwtSigner();
    const active = ca.authorities().find(({ id }) => id === keyId)!;
    const third = (active.notAfter - active.notBefore) / 3;
    clock.advance(third - 1);
    while (clock.now() < active.notAfter - third / 2 - AHEAD) {
      ca = await authority.restart();
      clock.advance(AHEAD - 1);
      assert.equal((await ca.jwtSigner()).keyId, keyId);
    }
    ca = await authority.restart();
    clock.advance(active.notAfter - third / 2 - clock.now());
    assert.notEqual((await ca.jwtSigner()).keyId, keyId);
  });
});

describe('the number of the document', () => {
  test('rises with each change of its contents, across rotations, a taint and restarts, and never else', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const { clock } = authority;
    let { ca } = authority;
    let last = document(ca);
    const seen = new Set<string>();
    /** @returns whether the contents changed */
    const look = () => {
      const now = document(ca);
      const [before, after] = [last, now].map(({ keys }) => JSON.stringify(keys));
      if (before === after) assert.equal(now.spiffe_sequence, last.spiffe_sequence);
      else assert.ok(now.spiffe_sequence > last.spiffe_sequence);
      assert.equal(now.spiffe_refresh_hint, HINT);
      last = now;
      seen.add(after!);
      return before !== after;
    };
    const restart = async () => {
      ca = await authority.restart();
      assert.equal(look(), false, 'a restart changes nothing');
    };
    await restart();
    await ca.rotate('root');
    assert.ok(look());
    await restart();
    clock.advance(AHEAD);
    await review(ca);
    assert.equal(rootOf(ca, 'published'), undefined);
    assert.equal(look(), false, 'the root was in the bundle already');
    await ca.rotate('intermediate');
    assert.equal(look(), false);
    await ca.rotate('jwt');
    clock.advance(AHEAD);
    await ca.jwtSigner();
    assert.ok(look());
    await restart();
    await ca.taint((await ca.jwtSigner()).keyId);
    assert.ok(look());
    await ca.taint(signs(ca));
    clock.advance(5 * SECOND);
    await until(() => ca.authorities().every(({ state }) => state !== 'tainted'));
    assert.ok(look());
    await restart();
    assert.ok(seen.size >= 4);
  });

  test('does not rise with the revocation lists, which are not in it', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const { clock } = authority;
    const { ca } = authority;
    const before = document(ca);
    const svid = await ca.issue(request());
    const { serial, authorityId, spiffeId, entryId, notAfter } = svid;
    const revoked = { serial, authorityId, spiffeId, entryId, notAfter, revokedAt: clock.now(), reason: 'unspecified' };
    const listed = await ca.setRevoked([revoked as never]);
    assert.equal(ca.bundle().sequenceNumber, listed);
    assert.ok(ca.bundle().crls.length > 0);
    assert.deepEqual(document(ca), before);
    await ca.rotate('root');
    const after = document(ca).spiffe_sequence;
    assert.ok(after > listed, 'above all numbers so far');
    const again = await authority.restart({ revoked: [revoked as never] });
    assert.equal(document(again).spiffe_sequence, after);
  });

  test('rises with the refresh hint', async (t) => {
    const authority = await openTestAuthority(t, FETCHED);
    const before = document(authority.ca);
    const ca = await authority.restart({ refreshHint: 2 * HINT });
    assert.ok(document(ca).spiffe_sequence > before.spiffe_sequence);
    assert.equal(document(ca).spiffe_refresh_hint, 2 * HINT);
    const { spiffe_sequence } = document(ca);
    assert.equal(document(await authority.restart({ refreshHint: 2 * HINT })).spiffe_sequence, spiffe_sequence);
  });
});
