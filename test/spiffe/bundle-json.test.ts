import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { makeCertificate } from '../support/certificates.ts';

const OTHER = parseTrustDomain('other.example');
const made = await Promise.all((['EC', 'RSA', 'OKP'] as const).map((type) => makeCertificate({ type })));
const roots = made.map(({ der }) => new X509Certificate(der));
const bundle = makeTrustBundle(OTHER, roots, 7);

test('a bundle has its roots as DER and as PEM, in order', () => {
  assert.equal(bundle.trustDomain, OTHER);
  assert.deepEqual(
    bundle.authorities,
    made.map(({ der }) => der),
  );
  assert.equal(bundle.pem.toString(), made.map(({ pem }) => pem).join(''));
});

test('the SPIFFE bundle document has one key a root, with its certificate, whatever its type', () => {
  const { keys, ...rest } = bundleDocument(bundle, 300);
  assert.deepEqual(rest, { spiffe_sequence: 7, spiffe_refresh_hint: 300 });
  assert.deepEqual(
    keys.map(({ kty }) => kty),
    ['EC', 'RSA', 'OKP'],
  );
  for (const [i, { use, x5c, ...jwk }] of keys.entries()) {
    assert.equal(use, 'x509-svid');
    assert.deepEqual(x5c, [made[i]!.der.toString('base64')]);
    assert.ok(createPublicKey({ key: { ...jwk }, format: 'jwk' }).equals(roots[i]!.publicKey));
  }
});

test('a hint that nobody gave is not in it', () => {
  assert.deepEqual(Object.keys(bundleDocument(bundle, undefined)).sort(), ['keys', 'spiffe_sequence']);
});
