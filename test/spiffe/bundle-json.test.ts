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
const jwk = createPublicKey(made[0]!.pem).export({ format: 'jwk' });
const bundle = makeTrustBundle({ trustDomain: OTHER, roots, sequenceNumber: 7, refreshHint: 300 });

test('a bundle has its roots as DER and as PEM, in order', () => {
  assert.equal(bundle.trustDomain, OTHER);
  assert.deepEqual(
    bundle.x509Authorities,
    made.map(({ der }) => der),
  );
  assert.equal(bundle.pem.toString(), made.map(({ pem }) => pem).join(''));
});

test('the SPIFFE bundle document has one key a root, with its certificate, whatever its type', () => {
  const { keys, ...rest } = bundleDocument(bundle);
  assert.deepEqual(rest, { spiffe_sequence: 7, spiffe_refresh_hint: 300 });
  assert.deepEqual(
    keys.map(({ kty }) => kty),
    ['EC', 'RSA', 'OKP'],
  );
  for (const [i, { use, x5c, ...jwk }] of keys.entries()) {
    assert.equal(use, 'x509-svid');
    assert.deepEqual(x5c, [made[i]!.der.toString('base64')]);
    assert.ok(!('kid' in jwk));
    assert.ok(createPublicKey({ key: { ...jwk }, format: 'jwk' }).equals(roots[i]!.publicKey));
  }
});

test('a JWT authority is a key with a kid', () => {
  const { keys } = bundleDocument({ ...bundle, jwtAuthorities: [{ keyId: 'a', publicKey: jwk }] });
  assert.deepEqual(keys.at(-1), { use: 'jwt-svid', kid: 'a', ...jwk });
});

test('CRLs are in the PEM, behind the roots, and not in the document', () => {
  const crl = Buffer.alloc(100, 7);
  const { pem } = makeTrustBundle({ trustDomain: OTHER, roots, crls: [crl], sequenceNumber: 7, refreshHint: 300 });
  const lines = crl.toString('base64').replace(/.{64}/g, '$&\n');
  assert.equal(pem.toString(), `${bundle.pem}-----BEGIN X509 CRL-----\n${lines}\n-----END X509 CRL-----\n`);
});

test('a hint that nobody gave is not in it', () => {
  assert.deepEqual(Object.keys(bundleDocument({ ...bundle, refreshHint: undefined })).sort(), [
    'keys',
    'spiffe_sequence',
  ]);
});
