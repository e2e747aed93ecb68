/** JWT-SVIDs of a real authority: contents, records, cache and limits. */

import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { SidekeyError } from '../../src/base/errors.ts';
import { TokenCounts } from '../../src/jwt/counts.ts';
import { AudienceError } from '../../src/jwt/errors.ts';
import { validateJwtSvid } from '../../src/jwt/validate.ts';
import { LimitError } from '../../src/limits/limit-error.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { HOUR, MINUTE, SECOND, until } from '../ca/support.ts';
import { ENTRY, JWT, openTestJwtSvids, partOf, REQUEST, WEB } from './support.ts';

test('a token has the claims and headers of a JWT-SVID, and is on record before it leaves', async (t) => {
  const { ca, clock, jwt, written } = await openTestJwtSvids(t, { issuer: 'https://issuer.example' });
  const svid = await jwt.sign({ ...REQUEST, audiences: ['b', 'a', 'b'] });
  const { keyId } = await ca.jwtSigner();
  const now = clock.now() / SECOND;
  assert.deepEqual(partOf(svid.token, 0), { alg: 'ES256', kid: keyId, typ: 'JWT' });
  assert.deepEqual(partOf(svid.token, 1), {
    aud: ['a', 'b'],
    exp: now + 300,
    iat: now - 30,
    iss: 'https://issuer.example',
    sub: WEB,
  });
  assert.equal(svid.expiresAt, clock.now() + 5 * MINUTE);
  assert.deepEqual(written, [
    [
      {
        kind: 'jwt',
        serial: hash('sha256', svid.token).slice(0, 32),
        spiffeId: WEB,
        entryId: 'web',
        authorityId: keyId,
        notBefore: (now - 30) * SECOND,
        notAfter: svid.expiresAt,
        issuedAt: clock.now(),
      },
    ],
  ]);
  const valid = validateJwtSvid(svid.token, 'b', new Map([[ca.trustDomain, ca.bundle()]]), clock.now());
  assert.equal(valid.spiffeId, WEB);
});

test('without an issuer a token has no iss', async (t) => {
  const { jwt } = await openTestJwtSvids(t);
  assert.ok(!('iss' in partOf((await jwt.sign(REQUEST)).token, 1)));
});

test('the TTL is that of the request, the entry or the server, and ends with the entry and the key', async (t) => {
  const { clock, jwt } = await openTestJwtSvids(t);
  const life = async (changes: object) =>
    ((await jwt.sign({ ...REQUEST, ...changes })).expiresAt - clock.now()) / SECOND;
  assert.equal(await life({}), 300);
  assert.equal(await life({ entry: { ...ENTRY, jwtSvidTtl: 60 } }), 60);
  assert.equal(await life({ entry: { ...ENTRY, jwtSvidTtl: 60 }, ttl: 20 }), 20);
  assert.equal(await life({ entry: { ...ENTRY, expiresAt: clock.now() + 10_500 } }), 10);
  assert.equal(await life({ entry: { ...ENTRY, jwtSvidTtl: 30 * 86_400 } }), JWT.keyTtl);
  await assert.rejects(jwt.sign({ ...REQUEST, entry: { ...ENTRY, expiresAt: clock.now() } }), { code: 'ERR_CA' });
});

test('a token is cached by identity and audiences until half of its life is over', async (t) => {
  const { clock, jwt, written } = await openTestJwtSvids(t);
  const first = await jwt.sign({ ...REQUEST, audiences: ['a', 'b'] });
  assert.equal(await jwt.sign({ ...REQUEST, audiences: ['b', 'a', 'a'] }), first);
  assert.notEqual(await jwt.sign({ ...REQUEST, audiences: ['a'] }), first);
  const other = await jwt.sign({
    ...REQUEST,
    audiences: ['a', 'b'],
    spiffeId: parseSpiffeId('spiffe://ilinux.io/other'),
  });
  assert.equal(partOf(other.token, 1).sub, 'spiffe://ilinux.io/other');
  clock.advance(149 * SECOND);
  assert.equal(await jwt.sign({ ...REQUEST, audiences: ['a', 'b'] }), first);
  clock.advance(SECOND);
  const second = await jwt.sign({ ...REQUEST, audiences: ['a', 'b'] });
  assert.ok(second.expiresAt > first.expiresAt);
  assert.equal(written.flat().length, 4);
});

test('two requests at once for the same token get one', async (t) => {
  const { jwt, written } = await openTestJwtSvids(t);
  const [a, b] = await Promise.all([jwt.sign(REQUEST), jwt.sign(REQUEST)]);
  assert.equal(a, b);
  assert.equal(written.flat().length, 1);
});

test('requests at once are recorded in one write', async (t) => {
  const { jwt, written } = await openTestJwtSvids(t);
  await Promise.all(Array.from({ length: 20 }, (_, i) => jwt.sign({ ...REQUEST, audiences: [`a${i}`] })));
  assert.equal(written.length, 1);
  assert.equal(new Set(written.flat().map(({ serial }) => serial)).size, 20);
});

test('a changed entry or a tainted key makes the cached token useless', async (t) => {
  const { ca, jwt } = await openTestJwtSvids(t);
  const first = await jwt.sign(REQUEST);
  assert.notEqual(await jwt.sign({ ...REQUEST, entry: { ...ENTRY, jwtSvidTtl: 299 } }), first);
  assert.notEqual(await jwt.sign({ ...REQUEST, entry: { ...ENTRY, id: 'other' } }), first);
  assert.equal(await jwt.sign(REQUEST), first);
  await ca.taint(first.keyId);
  const second = await jwt.sign(REQUEST);
  assert.notEqual(second.keyId, first.keyId);
});

test('a key that is tainted while its token is recorded: the token does not leave', async (t) => {
  let taint: () => Promise<void> = async () => {};
  const recordIssuances = () => taint();
  const { ca, jwt } = await openTestJwtSvids(t, { issuanceLog: { recordIssuances } });
  const { keyId } = await ca.jwtSigner();
  taint = async () => {
    taint = async () => {};
    await ca.taint(keyId);
  };
  assert.notEqual((await jwt.sign(REQUEST)).keyId, keyId);
});

test('a token that cannot be recorded is not given out; a cached one is, until it ends', async (t) => {
  let failure: Error | undefined;
  const issuanceLog = {
    async recordIssuances() {
      if (failure !== undefined) throw failure;
    },
  };
  const { clock, jwt, lines } = await openTestJwtSvids(t, { issuanceLog });
  const first = await jwt.sign(REQUEST);
  failure = new SidekeyError('ERR_STORE', 'disk full');
  await assert.rejects(jwt.sign({ ...REQUEST, audiences: ['x'] }), { code: 'ERR_STORE', message: 'disk full' });
  clock.advance(4 * MINUTE);
  assert.equal(await jwt.sign(REQUEST), first);
  assert.ok(lines().some(({ msg }) => msg.startsWith('no new JWT-SVID could be issued')));
  clock.advance(MINUTE);
  await assert.rejects(jwt.sign(REQUEST), { code: 'ERR_STORE' });
  failure = undefined;
  await jwt.sign(REQUEST);
});

test('an identity gets a limited number of new tokens a second; cached ones are free', async (t) => {
  const { clock, jwt } = await openTestJwtSvids(t, { maxJwtSvidsPerSecondPerId: 5 });
  for (let i = 0; i < 5; i += 1) await jwt.sign({ ...REQUEST, audiences: [`a${i}`] });
  const refused = { ...REQUEST, audiences: ['a5'] };
  await assert.rejects(jwt.sign(refused), (error) => {
    return (
      error instanceof LimitError &&
      /at most 5 new JWT-SVIDs a second \(--max-jwt-svids-per-second-per-id\)/.test(error.message)
    );
  });
  await jwt.sign({ ...REQUEST, audiences: ['a4'] });
  await jwt.sign({ ...refused, spiffeId: parseSpiffeId('spiffe://ilinux.io/other') });
  clock.advance(SECOND);
  await jwt.sign(refused);
});

test('an identity above its limit gets the cached token while that is valid', async (t) => {
  const { clock, jwt } = await openTestJwtSvids(t, { maxJwtSvidsPerSecondPerId: 1 });
  const first = await jwt.sign(REQUEST);
  clock.advance(3 * MINUTE);
  await jwt.sign({ ...REQUEST, audiences: ['x'] });
  assert.equal(await jwt.sign(REQUEST), first);
});

test('an identity has a limited number of cached tokens: the oldest ones go', async (t) => {
  const { jwt, written } = await openTestJwtSvids(t, { maxCachedJwtSvidsPerId: 3 });
  for (const audience of ['a', 'b', 'c', 'd']) await jwt.sign({ ...REQUEST, audiences: [audience] });
  await jwt.sign({ ...REQUEST, audiences: ['d'] });
  assert.equal(written.flat().length, 4);
  await jwt.sign({ ...REQUEST, audiences: ['a'] });
  assert.equal(written.flat().length, 5);
});

test('records of ended tokens are deleted within an hour, a thousand at a time', async (t) => {
  const pruned: [number, number][] = [];
  let left = 2_500;
  const pruneTokens = async (before: number, limit: number) => {
    pruned.push([before, limit]);
    const now = Math.min(left, limit);
    left -= now;
    return now;
  };
  const { clock } = await openTestJwtSvids(t, { issuances: { pruneTokens } });
  const begin = clock.now();
  clock.advance(HOUR - MINUTE);
  await until(() => left === 0);
  assert.ok(pruned[0]![0] > begin && pruned[0]![0] < begin + HOUR);
  assert.deepEqual(
    pruned.map(([, limit]) => limit),
    [1000, 1000, 1000],
  );
});

test('tokens of a closed server', async (t) => {
  const { jwt } = await openTestJwtSvids(t);
  await jwt.close();
  await assert.rejects(jwt.sign(REQUEST), { code: 'ERR_CA', message: 'the authority is closed' });
});

const LONG = 'x'.repeat(1_024);
const REFUSED: readonly (readonly [name: string, audiences: readonly string[], message: RegExp])[] = [
  ['none', [], /^audience must be specified$/],
  ['a blank one, as go-spiffe sends', [''], /^audience must be specified$/],
  ['only blank ones', ['', ' ', '\t'], /^audience must be specified$/],
  ['a blank one beside another', ['a', ' '], /^audience 2 is blank$/],
  ['too many', Array.from({ length: 33 }, (_, i) => `${i}`), /^there are 33 audiences, and a JWT-SVID has at most 32$/],
  ['ten thousand', new Array(10_000).fill('a'), /^there are 10000 audiences/],
  ['a long one', [`${LONG}x`], /^audience 1 is too long: an audience has at most 1024 bytes$/],
  ['a long one in bytes', ['ü'.repeat(513)], /^audience 1 is too long/],
  ['1 MB', ['x'.repeat(1_000_000)], /^audience 1 is too long/],
  ['a line feed', ['a\nb'], /^audience 1 has a control character/],
  ['NUL', ['a', 'b\0'], /^audience 2 has a control character/],
  ['bytes that are not UTF-8', ['a\ufffd'], /^audience 1 has a control character, or bytes that are not UTF-8$/],
  ['half a surrogate pair', ['\ud800'], /^audience 1 has a control character, or bytes that are not UTF-8$/],
];

for (const [name, audiences, message] of REFUSED) {
  test(`audiences: ${name}`, async (t) => {
    const { jwt, written } = await openTestJwtSvids(t);
    await assert.rejects(jwt.sign({ ...REQUEST, audiences }), (error) => {
      assert.ok(error instanceof AudienceError);
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual(written, []);
  });
}

test('any other audiences come back from the token, sorted, each one once', async (t) => {
  const { jwt } = await openTestJwtSvids(t, { maxJwtSvidsPerSecondPerId: 1_000_000 });
  const audience = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter((text) => {
    return text.trim() !== '' && !/[\p{Cc}\p{Cs}\ufffd]/u.test(text);
  });
  await fc.assert(
    fc.asyncProperty(fc.array(audience, { minLength: 1, maxLength: 32 }), async (audiences) => {
      const { aud } = partOf((await jwt.sign({ ...REQUEST, audiences })).token, 1);
      assert.deepEqual(aud, [...new Set(audiences)].sort());
    }),
    { numRuns: 50 },
  );
  await jwt.sign({ ...REQUEST, audiences: Array.from({ length: 32 }, (_, i) => `${i}`.padEnd(1_024, '"')) });
});

test('what was asked for is counted by its result, and how long new tokens took', async (t) => {
  const counts = new TokenCounts();
  const counters = new Counters();
  const { jwt } = await openTestJwtSvids(t, { counts, counters, maxJwtSvidsPerSecondPerId: 2 });
  await Promise.all([jwt.sign(REQUEST), jwt.sign(REQUEST)]);
  await jwt.sign(REQUEST);
  await jwt.sign({ ...REQUEST, audiences: ['other'] });
  await assert.rejects(jwt.sign({ ...REQUEST, audiences: [''] }), AudienceError);
  await assert.rejects(jwt.sign({ ...REQUEST, audiences: ['third'] }), LimitError);
  assert.deepEqual(Object.fromEntries(counts.results.entries()), { issued: 2, cached: 2, refused: 2, failed: 0 });
  assert.deepEqual([counts.times.count, counters.limits.get('maxJwtSvidsPerSecondPerId')], [2, 1]);
  await jwt.close();
  await assert.rejects(jwt.sign({ ...REQUEST, spiffeId: parseSpiffeId('spiffe://ilinux.io/late') }), {
    code: 'ERR_CA',
  });
  assert.equal(counts.results.get('failed'), 1);
});
