import assert from 'node:assert/strict';
import { generateKeyPairSync, type X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import {
  type Authority,
  type AuthorityRole,
  authorityFile,
  makeIntermediate,
  makeRoot,
  readAuthority,
} from '../../src/ca/authority.ts';
import { KeyCodec } from '../../src/ca/key-codec.ts';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType } from '../../src/spiffe/key-types.ts';
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

const codec = new KeyCodec();
const KEYS = {
  'ec-p256': ['ec', 'prime256v1', undefined, 'ECDSA SHA-256'],
  'ec-p384': ['ec', 'secp384r1', undefined, 'ECDSA SHA-384'],
  'rsa-2048': ['rsa', undefined, 2048, 'RSASSA-PKCS1-v1_5 SHA-256'],
  'rsa-3072': ['rsa', undefined, 3072, 'RSASSA-PKCS1-v1_5 SHA-256'],
  'rsa-4096': ['rsa', undefined, 4096, 'RSASSA-PKCS1-v1_5 SHA-256'],
} as const satisfies Record<AuthorityKeyType, unknown>;

for (const keyType of AUTHORITY_KEY_TYPES) {
  test(`authorities with ${keyType} keys sign with their algorithm, and are read from their files`, async () => {
    const [top, lower] = [await makeRoot({ ...request, keyType }, YEAR), root];
    const under = await makeIntermediate({ ...request, keyType }, top, DAY);
    const mixed = await makeIntermediate({ ...request, keyType }, lower, DAY);
    for (const [authority, issuer] of [
      [top, top],
      [under, top],
      [mixed, lower],
    ] as const) {
      const { asymmetricKeyType: type, asymmetricKeyDetails: details } = authority.publicKey;
      assert.deepEqual([type, details?.namedCurve, details?.modulusLength], KEYS[keyType].slice(0, 3));
      assert.equal(algorithmOf(authority.certificate), KEYS[issuer.keyType!][3]);
      assert.ok(authority.certificate.verify(issuer.publicKey));
      assert.equal(authority.keyType, keyType);
      const again = await read(authority.role, authorityFile(authority, await codec.write(authority.privateKey!)));
      assert.deepEqual([again.id, again.keyType], [authority.id, keyType]);
    }
  });
}

test('a key of a type that authorities do not have is refused', async () => {
  for (const [type, options] of [
    ['ed25519', {}],
    ['ec', { namedCurve: 'secp521r1' }],
    ['rsa', { modulusLength: 1024 }],
  ] as const) {
    const { privateKey } = generateKeyPairSync(type as 'rsa', options as { modulusLength: number });
    const text = root.certificate.toString() + privateKey.export({ format: 'pem', type: 'pkcs8' });
    await assert.rejects(read('root', text), /contains a key of another type than authorities have/);
  }
});

async function read(role: AuthorityRole, text: string): Promise<Authority> {
  return readAuthority(role, TRUST_DOMAIN, text, (await codec.read(text)).key);
}

/** How the certificate was signed. */
function algorithmOf({ raw }: X509Certificate): string {
  const { name, hash } = new x509.X509Certificate(raw).signatureAlgorithm as { name: string; hash: { name: string } };
  return `${name} ${hash.name}`;
}
