import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import { x509 } from '../support/peculiar.ts';
import { DAY, SECOND, TRUST_DOMAIN, YEAR } from './support.ts';

const NOW = Date.UTC(2026, 5, 1, 12);
const request = {
  trustDomain: TRUST_DOMAIN,
  subject: [
    { type: 'C', value: 'CN' },
    { type: 'O', value: 'SPIFFE' },
  ] as const,
  now: NOW,
};
const root = await makeRoot(request, 10 * YEAR);
const intermediate = await makeIntermediate(request, root, DAY);

test('authorities have the profile of a SPIFFE signing certificate', () => {
  for (const [authority, issuer, pathLength] of [
    [root, root, undefined],
    [intermediate, root, 0],
  ] as const) {
    const read = new x509.X509Certificate(authority.certificate.raw);
    assert.deepEqual(
      Array.from(read.extensions, (extension) => [extension.constructor.name, extension.critical]),
      [
        ['KeyUsagesExtension', true],
        ['BasicConstraintsExtension', true],
        ['SubjectKeyIdentifierExtension', false],
        ['AuthorityKeyIdentifierExtension', false],
        ['SubjectAlternativeNameExtension', false],
      ],
    );
    const constraints = read.getExtension(x509.BasicConstraintsExtension)!;
    assert.deepEqual([constraints.ca, constraints.pathLength], [true, pathLength]);
    const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
    assert.equal(read.getExtension(x509.KeyUsagesExtension)!.usages, usages);
    assert.equal(read.getExtension(x509.SubjectKeyIdentifierExtension)!.keyId, authority.id);
    assert.equal(read.getExtension(x509.AuthorityKeyIdentifierExtension)!.keyId, issuer.id);
    assert.equal(authority.certificate.subjectAltName, 'URI:spiffe://ilinux.io');
    assert.equal(authority.certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.ok(authority.certificate.verify(issuer.publicKey));
  }
});

test('a root is valid for ten years and is backdated by a day', () => {
  assert.equal(root.notBefore, NOW - DAY);
  assert.equal(root.notAfter, NOW + 10 * YEAR);
});

test('an intermediate has the given lifetime and is backdated by 30 s', () => {
  assert.equal(intermediate.notBefore, NOW - 30 * SECOND);
  assert.equal(intermediate.notAfter, NOW + DAY);
});

test('an intermediate does not outlive its root', async () => {
  const late = await makeIntermediate({ ...request, now: root.notAfter - 60 * SECOND }, root, DAY);
  assert.equal(late.notAfter, root.notAfter);
});

test('subjects begin with the given parts, and no two are equal', () => {
  const serial = BigInt(`0x${root.certificate.serialNumber}`);
  assert.equal(root.subject, `C=CN,O=SPIFFE,serialNumber=${serial}`);
  assert.notEqual(root.subject, intermediate.subject);
  assert.equal(intermediate.certificate.issuer, root.certificate.subject);
});
