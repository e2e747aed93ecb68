import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { implicit, octetString, oid, sequence, set } from '../../src/ca/der.ts';
import type { CertificateAuthority, Certified, CsrRequest } from '../../src/ca/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { type CsrOptions, makeCsr, newKey } from '../support/csr.ts';
import { DAY, HOUR, openTestAuthority, SECOND } from './support.ts';

function asked(csr: Uint8Array, changes: Partial<CsrRequest> = {}): CsrRequest {
  const spiffeId = parseSpiffeId('spiffe://ilinux.io/web');
  return { entryId: 'web', spiffeId, dnsNames: [], ttl: 0, notAfter: 0, csr, ...changes };
}

async function faultOf(ca: CertificateAuthority, csr: Uint8Array): Promise<string> {
  const [result] = await ca.certify([asked(csr)]);
  return 'fault' in result! ? result.fault.message : '';
}

function svidOf(result: Certified | undefined) {
  assert.ok(result !== undefined && 'svid' in result, String(result && 'fault' in result && result.fault));
  return result.svid;
}

/** The attributes of a request for a certificate with this URI. */
function askingFor(uri: string): Buffer {
  const names = sequence(implicit(6, Buffer.from(uri)));
  const extension = sequence(oid('2.5.29.17'), octetString(names));
  return sequence(oid('1.2.840.113549.1.9.14'), set(sequence(extension)));
}

test('a certified SVID has the key of the CSR, and everything else from its entry', async (t) => {
  const { ca, clock, records } = await openTestAuthority(t);
  const attributes = askingFor('spiffe://ilinux.io/admin');
  const { csr, privateKey } = makeCsr({ attributes });
  const [result] = await ca.certify([asked(csr, { dnsNames: ['web.example'] })]);
  const { certificates, serial, notBefore, notAfter, authorityId } = svidOf(result);
  const [leaf, ...above] = certificates.map((der) => new X509Certificate(der));
  assert.equal(leaf!.subjectAltName, 'URI:spiffe://ilinux.io/web, DNS:web.example');
  assert.ok(leaf!.publicKey.equals(createPublicKey(privateKey)));
  assert.ok(leaf!.verify(above[0]!.publicKey));
  assert.equal(above.length, 1);
  assert.equal(leaf!.serialNumber.toLowerCase(), serial);
  assert.equal(authorityId, ca.authorities()[1]!.id);
  assert.deepEqual([notBefore, notAfter], [clock.now() - 30 * SECOND, clock.now() + HOUR]);
  const record = { kind: 'x509', spiffeId: 'spiffe://ilinux.io/web', entryId: 'web' };
  assert.partialDeepStrictEqual(records, [[{ ...record, serial, authorityId, notAfter }]]);
});

test('a batch is recorded in one write, and a bad request does not affect the others', async (t) => {
  const { ca, records } = await openTestAuthority(t);
  const good = Array.from({ length: 70 }, () => asked(makeCsr().csr));
  const results = await ca.certify([...good, asked(Buffer.from('garbage')), asked(makeCsr().csr, { notAfter: 1 })]);
  assert.deepEqual(
    records.map((batch) => batch.length),
    [70],
  );
  assert.deepEqual(
    results.map((result) => 'fault' in result),
    [...good.map(() => false), true, true],
  );
  assert.deepEqual(await ca.certify([]), []);
});

test('a certified SVID ends with its entry and its authority', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  const notAfter = clock.now() + 10 * SECOND;
  const ends = await ca.certify([
    asked(makeCsr().csr, { notAfter }),
    asked(makeCsr().csr, { ttl: (9 * DAY) / SECOND }),
  ]);
  assert.equal(svidOf(ends[0]).notAfter, notAfter);
  assert.ok(svidOf(ends[1]).notAfter <= clock.now() + DAY);
});

test('keys on P-256 and P-384 and RSA keys are certified, with each hash', async (t) => {
  const { ca } = await openTestAuthority(t);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const kinds: CsrOptions[] = [
    ...(['sha256', 'sha384', 'sha512'] as const).map((hash) => ({ hash, privateKey: newKey('P-384') })),
    ...(['sha256', 'sha384', 'sha512'] as const).map((hash) => ({ hash, privateKey: rsa })),
  ];
  for (const kind of kinds) assert.equal(await faultOf(ca, makeCsr(kind).csr), '');
});

test('a CSR is refused with the reason', async (t) => {
  const { ca, records } = await openTestAuthority(t);
  const other = createPublicKey(newKey());
  const foreign = makeCsr({ publicKey: other }).csr;
  assert.match(await faultOf(ca, foreign), /its signature does not belong to its key/);
  assert.match(await faultOf(ca, Buffer.alloc(0)), /it is empty/);
  assert.match(await faultOf(ca, Buffer.alloc(20_000)), /it has 20000 bytes, at most 16384 are read/);
  const { csr } = makeCsr();
  assert.match(await faultOf(ca, csr.subarray(1)), /it is not a PKCS#10 request in DER/);
  assert.match(await faultOf(ca, Buffer.concat([csr, Buffer.of(0)])), /it is not a PKCS#10 request in DER/);
  for (const privateKey of [
    newKey('P-521'),
    newKey('secp256k1'),
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
    generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey,
  ]) {
    assert.match(await faultOf(ca, makeCsr({ privateKey }).csr), /its key is of another kind than EC keys/);
  }
  const ed25519 = generateKeyPairSync('ed25519').publicKey;
  assert.match(await faultOf(ca, makeCsr({ publicKey: ed25519 }).csr), /its key is of another kind/);
  const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  assert.match(await faultOf(ca, makeCsr({ publicKey: rsaKey }).csr), /its signature is of another kind than its key/);
  // Each bit of a request counts, or breaks it.
  for (let at = 0; at < csr.length; at += 1) {
    const changed = Buffer.from(csr);
    changed[at]! ^= 1;
    assert.notEqual(await faultOf(ca, changed), '', `byte ${at}`);
  }
  assert.equal(records.length, 0);
});

test('nothing leaves if the record fails', async (t) => {
  const { ca } = await openTestAuthority(t, {
    issuanceLog: { recordIssuances: () => Promise.reject(new Error('disk full')) },
  });
  await assert.rejects(ca.certify([asked(makeCsr().csr)]), { code: 'ERR_STORE' });
});
