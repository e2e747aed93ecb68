/** The life of JWT keys in a real directory: rotation, taint, restarts and crashes. */

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { inspectJwtKeys } from '../../../src/ca/certificate-authority.ts';
import type { AuthorityMove, CertificateAuthority } from '../../../src/ca/types.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { HOUR, MINUTE, openTestAuthority, SECOND, TRUST_DOMAIN, until } from '../support.ts';

const jwt = { keyType: 'ec-p256', keyTtl: 86_400, publishBefore: 900 } as const;

function keysOf(ca: CertificateAuthority): [id: string, state: string][] {
  return ca.authorities().flatMap(({ id, role, state }) => (role === 'jwt' ? [[id, state] as [string, string]] : []));
}

const statesOf = (ca: CertificateAuthority) => keysOf(ca).map(([, state]) => state);
const published = (ca: CertificateAuthority) => ca.bundle().jwtAuthorities.map(({ keyId }) => keyId);
const filesIn = (dir: string) =>
  readdirSync(dir)
    .filter((name) => name.startsWith('jwt-'))
    .sort();
const inBundle = (ca: CertificateAuthority) =>
  assert.deepEqual(
    keysOf(ca)
      .map(([id]) => id)
      .sort(),
    published(ca).sort(),
  );

test("a trust domain's first key signs at once, and the next one is published", async (t) => {
  const { ca, clock } = await openTestAuthority(t, { jwt });
  assert.deepEqual(statesOf(ca), ['active', 'published']);
  inBundle(ca);
  const signer = await ca.jwtSigner();
  assert.equal(signer.algorithm, 'ES256');
  assert.equal(signer.keyId, keysOf(ca)[0]![0]);
  const { publicKey } = ca.bundle().jwtAuthorities.find(({ keyId }) => keyId === signer.keyId)!;
  const signature = await signer.sign('text');
  const key = createPublicKey({ key: publicKey, format: 'jwk' });
  assert.ok(verify('sha256', Buffer.from('text'), { key, dsaEncoding: 'ieee-p1363' }, signature));
  assert.equal(publicKey.d, undefined);
  const [first] = ca.authorities().filter(({ role }) => role === 'jwt');
  assert.equal(first!.notAfter, clock.now() + 24 * HOUR);
});

for (const [keyType, algorithm] of [
  ['ec-p384', 'ES384'],
  ['rsa-2048', 'RS256'],
] as const) {
  test(`keys of the type ${keyType} sign with ${algorithm}`, async (t) => {
    const { ca } = await openTestAuthority(t, { jwt: { ...jwt, keyType } });
    const signer = await ca.jwtSigner();
    assert.equal(signer.algorithm, algorithm);
    const { publicKey } = ca.bundle().jwtAuthorities.find(({ keyId }) => keyId === signer.keyId)!;
    const key = createPublicKey({ key: publicKey, format: 'jwk' });
    const hash = `sha${algorithm.slice(2)}`;
    assert.ok(verify(hash, Buffer.from('x'), { key, dsaEncoding: 'ieee-p1363' }, await signer.sign('x')));
  });
}

test('signatures have the form of a JWS whatever the lengths of their numbers', async (t) => {
  for (const [keyType, octets] of [
    ['ec-p256', 64],
    ['ec-p384', 96],
  ] as const) {
    const { ca } = await openTestAuthority(t, { jwt: { ...jwt, keyType } });
    const signer = await ca.jwtSigner();
    const { publicKey } = ca.bundle().jwtAuthorities.find(({ keyId }) => keyId === signer.keyId)!;
    const key = createPublicKey({ key: publicKey, format: 'jwk' });
    let shorter = 0;
    // One number in 256 begins with a zero octet, which DER leaves out.
    for (let i = 0; i < 2_000 && shorter < 4; i += 1) {
      const signature = await signer.sign(`text ${i}`);
      assert.equal(signature.length, octets);
      assert.ok(
        verify(
          `sha${signer.algorithm.slice(2)}`,
          Buffer.from(`text ${i}`),
          { key, dsaEncoding: 'ieee-p1363' },
          signature,
        ),
      );
      if (signature[0] === 0 || signature[octets / 2] === 0) shorter += 1;
    }
    assert.ok(shorter > 0, 'no signature had a number with a leading zero octet');
  }
});

test('a restart makes no key and changes nothing', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const [keys, bundle, files] = [keysOf(authority.ca), authority.ca.bundle(), filesIn(authority.dir)];
  const again = await authority.restart();
  assert.deepEqual(keysOf(again), keys);
  assert.deepEqual(again.bundle().jwtAuthorities, bundle.jwtAuthorities);
  assert.equal(again.bundle().sequenceNumber, bundle.sequenceNumber);
  assert.deepEqual(filesIn(authority.dir), files);
});

test('keys rotate on schedule: the next one signs, another one is published, and the old one stays for its tokens', async (t) => {
  const { ca, clock, dir } = await openTestAuthority(t, { jwt });
  const [[first], [second]] = keysOf(ca) as [[string, string], [string, string]];
  const { sequenceNumber, x509Authorities } = ca.bundle();
  const seen: number[] = [];
  ca.onBundleChange((bundle) => void seen.push(bundle.sequenceNumber));
  const moves: AuthorityMove[] = [];
  ca.onMove((move) => void (move.role === 'jwt' && moves.push(move)));
  clock.advance(8 * HOUR);
  await until(() => statesOf(ca).includes('retired'));
  assert.deepEqual(statesOf(ca), ['retired', 'active', 'published']);
  assert.equal((await ca.jwtSigner()).keyId, second);
  inBundle(ca);
  const moved = new Map(moves.map(({ id, before, state }) => [id, `${before} ${state}`]));
  assert.equal(moved.get(first), 'active retired');
  assert.equal(moved.get(second), 'published active');
  assert.ok(seen.length === 1 && seen[0]! > sequenceNumber);
  assert.deepEqual(ca.bundle().x509Authorities, x509Authorities);
  clock.advance(16 * HOUR + 2 * MINUTE);
  while (published(ca).includes(first)) await ca.jwtSigner();
  await until(() => filesIn(dir).length === published(ca).length);
});

test('an operator replaces the key: the next one signs once it was published for long enough, also after a restart', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const { ca, clock } = authority;
  const [[first], [second]] = keysOf(ca) as [[string, string], [string, string]];
  clock.advance(5 * MINUTE);
  await ca.rotate('jwt');
  assert.equal((await ca.jwtSigner()).keyId, first, 'consumers may not have the next key yet');
  const next = ca.authorities().find(({ id }) => id === second)!;
  assert.equal(next.signsAfter, next.since + 15 * MINUTE);
  const again = await authority.restart();
  clock.advance(10 * MINUTE);
  await until(() => statesOf(again).includes('retired'));
  assert.equal((await again.jwtSigner()).keyId, second);
  // One rotation was asked for.
  clock.advance(HOUR);
  await again.jwtSigner();
  assert.deepEqual(statesOf(again), ['retired', 'active', 'published']);
});

test('operators cannot add keys without an end', async (t) => {
  const { ca, clock } = await openTestAuthority(t, { jwt: { ...jwt, publishBefore: 0 } });
  await assert.rejects(
    async () => {
      for (let i = 0; i < 20; i += 1) {
        clock.advance(SECOND);
        await ca.rotate('jwt');
      }
    },
    { code: 'ERR_ROTATION_LIMIT', message: /8 JWT keys are still valid, and the limit is 8/ },
  );
});

test('a tainted key signs nothing more and leaves the bundle, and the next one waits for nothing', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const { ca, dir } = authority;
  const [[first], [second]] = keysOf(ca) as [[string, string], [string, string]];
  const file = path.join(dir, `jwt-${first}.json`);
  const copy = readFileSync(file);
  const moves: string[] = [];
  ca.onMove(({ id, before, state }) => void (id === first && moves.push(`${before} ${state}`)));
  await ca.taint(first);
  assert.deepEqual(moves, ['active tainted', 'tainted gone']);
  assert.equal((await ca.jwtSigner()).keyId, second);
  assert.deepEqual(statesOf(ca), ['active', 'published']);
  inBundle(ca);
  assert.ok(!published(ca).includes(first));
  await assert.rejects(ca.taint(first), { code: 'ERR_NOT_FOUND' });
  // A file that somebody restored does not bring it back.
  writeFileSync(file, copy, { mode: 0o600 });
  const again = await authority.restart();
  assert.ok(!published(again).includes(first));
  assert.deepEqual(filesIn(dir).length, 2);
});

test('the next key can be tainted too', async (t) => {
  const { ca } = await openTestAuthority(t, { jwt });
  const [[first], [second]] = keysOf(ca) as [[string, string], [string, string]];
  await ca.taint(second);
  assert.equal((await ca.jwtSigner()).keyId, first);
  assert.ok(!published(ca).includes(second));
  assert.deepEqual(statesOf(ca), ['active', 'published']);
});

test('a taint of a root or intermediate leaves the JWT keys alone', async (t) => {
  const { ca } = await openTestAuthority(t, { jwt });
  const keys = keysOf(ca);
  await ca.taint(ca.authorities().find(({ role }) => role === 'root')!.id);
  assert.deepEqual(keysOf(ca), keys);
});

test('a crash between the key and the states: the next start uses the key that was made', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const { ca, dir, clock } = authority;
  const copy = path.join(tempDir(t), 'state.json');
  copyFileSync(path.join(dir, 'state.json'), copy);
  clock.advance(8 * HOUR);
  await until(() => statesOf(ca).includes('retired'));
  const keys = keysOf(ca);
  await ca.close();
  copyFileSync(copy, path.join(dir, 'state.json'));
  assert.deepEqual(keysOf(await authority.restart()), keys);
});

test('a crash at any move of a life: the next start goes on, and no key in use is lost', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const { ca, dir, clock } = authority;
  const copies: { dir: string; active: string; at: number }[] = [];
  ca.onMove(({ role, state, id }) => {
    if (role !== 'jwt' || state !== 'active') return;
    const copy = path.join(tempDir(t), 'ca');
    cpSync(dir, copy, { recursive: true });
    copies.push({ dir: copy, active: id, at: clock.now() });
  });
  for (let i = 0; i < 5; i += 1) {
    const moves = copies.length;
    clock.advance(8 * HOUR);
    // The test's clock calls a deadline only when it moves, and one may be set after the move.
    while (copies.length === moves) await ca.jwtSigner();
  }
  for (const copy of copies) {
    const again = await openTestAuthority(t, { jwt, dir: copy.dir }, clock);
    assert.ok(published(again.ca).length >= 2);
    await again.ca.jwtSigner();
    await again.ca.close();
  }
});

test('without the states, the stored keys stay in the bundle, and one of them signs', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const keys = published(authority.ca);
  await authority.ca.close();
  rmSync(path.join(authority.dir, 'state.json'));
  const again = await authority.restart();
  for (const id of keys) assert.ok(published(again).includes(id));
  assert.ok(keys.includes((await again.jwtSigner()).keyId));
});

test('keys are encrypted with the passphrase, and decrypted again', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  const keys = keysOf(authority.ca);
  const text = () => readFileSync(path.join(authority.dir, filesIn(authority.dir)[0]!), 'utf8');
  assert.match(text(), /BEGIN PRIVATE KEY/);
  const found = await inspectJwtKeys(authority.dir, { trustDomain: TRUST_DOMAIN, passphrase: 'sesame' });
  assert.deepEqual(found.map(({ state, isCurrent }) => [state, isCurrent]).sort(), [
    ['active', false],
    ['published', false],
  ]);
  const encrypted = await authority.restart({ passphrase: 'sesame' });
  assert.match(text(), /BEGIN ENCRYPTED PRIVATE KEY/);
  assert.deepEqual(keysOf(encrypted), keys);
  await encrypted.close();
  await assert.rejects(authority.restart({ passphrase: undefined }), { code: 'ERR_CA', message: /is encrypted/ });
});

test('a damaged key file stops the start with its name and what to do', async (t) => {
  const authority = await openTestAuthority(t, { jwt });
  await authority.ca.close();
  const file = path.join(authority.dir, filesIn(authority.dir)[0]!);
  for (const text of ['', '{', '{"notBefore":1,"notAfter":2}', '{"notBefore":1,"notAfter":2,"privateKey":""}']) {
    writeFileSync(file, text);
    await assert.rejects(authority.restart(), (error: Error & { code: string }) => {
      assert.equal(error.code, 'ERR_CA');
      assert.ok(
        error.message.startsWith(file) && error.message.includes('remove it: another key then signs'),
        error.message,
      );
      return true;
    });
  }
  rmSync(file);
  assert.deepEqual(statesOf(await authority.restart()), ['active', 'published']);
});

test('a domain without JWT keys says so', async (t) => {
  const { ca } = await openTestAuthority(t);
  assert.deepEqual(ca.bundle().jwtAuthorities, []);
  await assert.rejects(ca.jwtSigner(), { code: 'ERR_CA', message: 'this trust domain has no JWT keys' });
});

test('an authority of an earlier version gets JWT keys at its next start', async (t) => {
  const authority = await openTestAuthority(t);
  const { sequenceNumber } = authority.ca.bundle();
  const again = await authority.restart({ jwt });
  assert.deepEqual(statesOf(again), ['active', 'published']);
  assert.ok(again.bundle().sequenceNumber > sequenceNumber);
});
