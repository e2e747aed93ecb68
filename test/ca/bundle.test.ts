import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeRoot } from '../../src/ca/authority.ts';
import { trustBundle } from '../../src/ca/bundle.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { DAY, TRUST_DOMAIN } from './support.ts';

const root = (now: number) => makeRoot({ trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' }], now });
const older = await root(Date.UTC(2026, 5, 1));
const newer = await root(Date.UTC(2026, 5, 1) + DAY);

test('the bundle has the roots, oldest first, as DER and as PEM', () => {
  const bundle = trustBundle(TRUST_DOMAIN, [newer, older], 7);
  assert.deepEqual(bundle.authorities, [older.certificate.raw, newer.certificate.raw]);
  assert.equal(bundle.pem.toString(), older.certificatePem + newer.certificatePem);
  assert.deepEqual(
    pemBlocks(bundle.pem.toString(), 'CERTIFICATE').map((block) => new X509Certificate(block).fingerprint256),
    [older, newer].map((authority) => authority.certificate.fingerprint256),
  );
  assert.equal(bundle.sequenceNumber, 7);
});

test('the SPIFFE bundle document has one key a root, with its certificate', () => {
  const { keys, ...rest } = bundleDocument(trustBundle(TRUST_DOMAIN, [older, newer], 7), 300);
  assert.deepEqual(rest, { spiffe_sequence: 7, spiffe_refresh_hint: 300 });
  assert.equal(keys.length, 2);
  for (const [i, authority] of [older, newer].entries()) {
    const { use, x5c, ...jwk } = keys[i]!;
    assert.equal(use, 'x509-svid');
    assert.deepEqual(x5c, [authority.certificate.raw.toString('base64')]);
    assert.deepEqual([jwk.kty, jwk.crv], ['EC', 'P-256']);
    assert.ok(createPublicKey({ key: { ...jwk }, format: 'jwk' }).equals(authority.publicKey));
  }
});
