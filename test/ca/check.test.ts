import assert from 'node:assert/strict';
import { generateKeyPairSync, hash, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import {
  authorityKeyId,
  type CertificateContents,
  digitalSignature,
  encodeCertificate,
  encodeToBeSigned,
  notAnAuthority,
  serverAndClientAuth,
  subjectAltName,
  subjectKeyId,
  validity,
} from '../../src/ca/certificate.ts';
import { checkLeaf, checkLeafWithOpenSsl } from '../../src/ca/check.ts';
import { integer, octetString, oid, sequence, TRUE, tlv } from '../../src/ca/der.ts';
import { type EcKeyPair, encodeKeyPair } from '../../src/ca/key-pair.ts';
import { type Leaf, type LeafRequest, LeafWriter } from '../../src/ca/leaf.ts';
import { encodeName } from '../../src/ca/name.ts';
import { pem } from '../../src/ca/pem.ts';
import { signatureAlgorithm } from '../../src/ca/signature-algorithm.ts';
import { localSigner, type Signer } from '../../src/ca/signer.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType, SVID_KEY_TYPES } from '../../src/spiffe/key-types.ts';
import { DAY, HOUR, TRUST_DOMAIN, writeLeaf, YEAR } from './support.ts';

const now = Date.UTC(2026, 5, 15, 12);
const making = { trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' } as const], now };
const root = await makeRoot(making, 10 * YEAR);
const intermediate = await makeIntermediate(making, root, DAY);
const authority = localSigner(intermediate);
const sibling = localSigner(await makeIntermediate(making, root, DAY));
const request: LeafRequest = {
  ...{ spiffeId: parseSpiffeId('spiffe://ilinux.io/a'), dnsNames: [], keyType: 'ec-p256', now, notAfter: now + HOUR },
};
const writer = new LeafWriter(authority);
const leaf = await writeLeaf(writer, request);

/** A signer with a key of this type, under the same root. */
async function signerOf(keyType: AuthorityKeyType): Promise<Signer> {
  return localSigner(await makeIntermediate({ ...making, keyType }, root, DAY));
}

interface Given {
  request?: Partial<LeafRequest>;
  authority?: typeof authority;
  check?: typeof checkLeaf;
}

/** The fault that the check finds; empty if it finds none. */
function faultOf(changes: Partial<Leaf>, given: Given = {}): string {
  const { check = checkLeaf } = given;
  try {
    check({ ...leaf, ...changes }, { ...request, ...given.request }, given.authority ?? authority);
    return '';
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ERR_CA');
    const [, fault] = /^the SVID made for spiffe:\/\/\S+ is withheld: (.+)$/.exec((error as Error).message)!;
    return fault!;
  }
}

function signCertificate(contents: CertificateContents, key: KeyObject): Buffer {
  const toBeSigned = encodeToBeSigned(contents);
  return encodeCertificate(toBeSigned, contents.signatureAlgorithm, sign('sha256', toBeSigned, key));
}

/** The same SVID with another leaf certificate. */
function withCertificate(der: Buffer, signer = authority): Partial<Leaf> {
  return {
    certificateChain: pem('CERTIFICATE', der) + signer.chain,
  };
}

test('a good SVID passes both checks', async () => {
  for (const dnsNames of [[], ['a.example'], ['a.example', '*.b.example'], [`${'a'.repeat(62)}.io`]]) {
    const asked = { ...request, dnsNames };
    const made = await writeLeaf(writer, asked);
    checkLeaf(made, asked, authority);
    checkLeafWithOpenSsl(made, asked, authority);
  }
  for (const keyType of AUTHORITY_KEY_TYPES) {
    const signer = await signerOf(keyType);
    for (const svidKeyType of SVID_KEY_TYPES) {
      const asked = { ...request, keyType: svidKeyType };
      const made = await writeLeaf(new LeafWriter(signer), asked);
      checkLeaf(made, asked, signer);
      checkLeafWithOpenSsl(made, asked, signer);
      const others = AUTHORITY_KEY_TYPES.filter((type) => type !== keyType);
      for (const type of others) {
        // RSA keys differ in the length of their signatures alone.
        assert.notEqual(faultOf(made, { request: asked, authority: { ...signer, keyType: type } }), '', type);
      }
    }
  }
});

test('an SVID with a key of another type than requested is refused', async () => {
  const rsa: LeafRequest = { ...request, keyType: 'rsa-2048' };
  assert.equal(faultOf({}, { request: rsa }), 'its key is not of the requested type');
  const made = await writeLeaf(writer, rsa);
  assert.equal(faultOf(made), 'its key is not of the requested type');
  assert.equal(faultOf({ ...made, privateKey: leaf.privateKey }, { request: rsa }), 'its private key does not match');
  const { privateKey } = await writeLeaf(writer, rsa);
  assert.equal(faultOf({ ...made, privateKey }, { request: rsa }), 'its private key does not match');
  const check = checkLeafWithOpenSsl;
  assert.equal(faultOf({ ...made, privateKey }, { request: rsa, check }), 'its private key does not match');
});

test('an RSA key is refused if it has another size or exponent', async () => {
  for (const options of [
    { modulusLength: 1024 },
    { modulusLength: 2047 },
    { modulusLength: 2048, publicExponent: 3 },
  ]) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', options);
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const bits = publicKey.export({ format: 'der', type: 'pkcs1' });
    const keyId = Buffer.from(hash('sha1', bits), 'hex');
    const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
    const asked: LeafRequest = { ...request, keyType: 'rsa-2048' };
    const made = await writer.sign(writer.draft(asked, { type: 'rsa-2048', spki, keyId, pkcs8 }));
    assert.match(faultOf(made, { request: asked }), /modulus|unexpected contents/);
  }
});

test('an SVID with another caller, key, issuer, serial or dates is refused', async () => {
  const other = await writeLeaf(writer, request);
  assert.equal(faultOf({ privateKey: other.privateKey }), 'its private key does not match');
  assert.equal(faultOf({}, { authority: sibling }), 'its chain does not end with that of its authority');
  assert.equal(
    faultOf({ certificateChain: (await writeLeaf(new LeafWriter(sibling), request)).certificateChain }),
    'its chain does not end with that of its authority',
  );
  assert.equal(faultOf({ serial: other.serial }), 'its serial differs from the one to be recorded');
  assert.equal(faultOf({ notAfter: leaf.notAfter - 1000 }), 'its dates differ from those to be recorded');
  assert.equal(faultOf({ notBefore: leaf.notBefore + 1000 }), 'its dates differ from those to be recorded');
  assert.equal(faultOf({}, { request: { now: leaf.notBefore - 1 } }), 'it is not valid now');
  assert.equal(faultOf({}, { request: { now: leaf.notAfter } }), 'it is not valid now');
  assert.equal(faultOf({}, { request: { notAfter: leaf.notAfter - 1 } }), 'it expires later than requested');
  assert.equal(faultOf({ notAfter: authority.notAfter + 1 }), 'its validity exceeds that of its authority');
  assert.equal(
    faultOf({}, { request: { spiffeId: parseSpiffeId('spiffe://ilinux.io/b') } }),
    'its names are not the requested ones',
  );
  assert.equal(faultOf({}, { request: { dnsNames: ['a.example'] } }), 'its subject is not the expected one');
});

test('a change of any bit of an SVID is detected, except in its signature', async () => {
  // Variants: names, a common name, and dates as GeneralizedTime.
  const late = Date.UTC(2060, 0, 1);
  const dated = { ...request, now: late, notAfter: late + HOUR, dnsNames: ['a.example'] };
  const lateAuthority = { ...authority, notBefore: late - DAY, notAfter: late + YEAR };
  for (const [asked, signer] of [
    [request, authority],
    [dated, lateAuthority],
    [{ ...request, keyType: 'rsa-2048' }, authority],
    [request, await signerOf('ec-p384')],
    [request, await signerOf('rsa-2048')],
  ] as const) {
    const made = await writeLeaf(new LeafWriter(signer), asked);
    const { raw } = new X509Certificate(made.certificateChain);
    eachBitOf(raw.subarray(0, signatureStart(raw, signer)), raw, (der, bit) => {
      const fault = faultOf({ ...made, ...withCertificate(der, signer) }, { request: asked, authority: signer });
      assert.notEqual(fault, '', `bit ${bit} of the certificate`);
    });
    const key = Buffer.from(made.privateKey.toString().replace(/-.*-|\s/g, ''), 'base64');
    eachBitOf(key, key, (der, bit) => {
      const changed = { ...made, privateKey: pem('PRIVATE KEY', der) };
      assert.notEqual(faultOf(changed, { request: asked, authority: signer }), '', `bit ${bit} of the key`);
    });
  }
});

test('OpenSSL detects a change of any bit of the signature', async () => {
  const { raw } = new X509Certificate(leaf.certificateChain);
  eachBitOf(raw.subarray(signatureStart(raw, authority)), raw, (der, bit) => {
    assert.notEqual(faultOf(withCertificate(der), { check: checkLeafWithOpenSsl }), '', `bit ${bit}`);
  });
  assert.equal(
    faultOf({ privateKey: (await writeLeaf(writer, request)).privateKey }, { check: checkLeafWithOpenSsl }),
    'its private key does not match',
  );
  assert.equal(faultOf({}, { authority: sibling, check: checkLeafWithOpenSsl }), 'its authority did not sign it');
});

test('a change, removal or addition of any character of the PEM is detected', async () => {
  for (const field of ['certificateChain', 'privateKey'] as const) {
    const text = leaf[field];
    const refused = (changed: string, what: string) => {
      const changes = { [field]: changed };
      // Only OpenSSL detects a change in the signature.
      const fault = faultOf(changes) || faultOf(changes, { check: checkLeafWithOpenSsl });
      assert.notEqual(fault, '', `${field}: ${what}`);
    };
    for (let at = 0; at < text.length; at += 1) {
      const [before, character, after] = [text.slice(0, at), text[at]!, text.slice(at + 1)];
      refused(before + (character === 'A' ? 'B' : 'A') + after, `another character at ${at}`);
      refused(before + after, `without the character at ${at}`);
      refused(`${before}\n${text.slice(at)}`, `a line end more at ${at}`);
    }
    refused(`${text}\n`, 'a line end more at the end');
    refused(text + text, 'twice');
    refused('', 'nothing');
  }
});

test('a well-formed, signed certificate that violates the profile of SVIDs is refused', async () => {
  const keyPair = encodeKeyPairOf(leaf);
  const other = encodeKeyPairOf(await writeLeaf(writer, request));
  const common = [
    digitalSignature,
    serverAndClientAuth,
    notAnAuthority,
    authorityKeyId(Buffer.from(authority.id, 'hex')),
  ];
  const own = [subjectKeyId(keyPair.keyId), subjectAltName(request.spiffeId, [])];
  const good: CertificateContents = {
    serial: Buffer.from(leaf.serial, 'hex'),
    signatureAlgorithm: signatureAlgorithm('ec-p256').identifier,
    issuer: authority.name,
    validity: validity(leaf.notBefore, leaf.notAfter),
    subject: encodeName([
      { type: 'C', value: 'US' },
      { type: 'O', value: 'Sidekey' },
    ]),
    spki: keyPair.spki,
    extensions: [...common, ...own],
  };
  const faultWith = (changes: Partial<CertificateContents>, key = intermediate.privateKey!) =>
    faultOf(withCertificate(signCertificate({ ...good, ...changes }, key)));
  assert.equal(faultWith({}), '', 'the test itself');

  const others: [string, Partial<CertificateContents>][] = [
    ['a serial of zero', { serial: Uint8Array.of(0) }],
    ['a serial of 21 bytes', { serial: Buffer.alloc(21, 1) }],
    ['another issuer', { issuer: root.name }],
    ['no issuer', { issuer: encodeName([]) }],
    ['reversed dates', { validity: validity(leaf.notAfter, leaf.notBefore) }],
    [
      'a third date',
      { validity: sequence(validity(leaf.notBefore, leaf.notAfter).subarray(2), integer(Uint8Array.of(1))) },
    ],
    // Each has the two correct instants in an invalid encoding.
    ...[
      ['260546115930Z', '260615130000Z'],
      ['260614355930Z', '260615130000Z'],
      ['260615115890Z', '260615130000Z'],
      ['260615115930Z', '260615126000Z'],
      ['260615115930+', '260615130000Z'],
      ['20260615115930Z', '260615130000Z'],
    ].map((texts): [string, Partial<CertificateContents>] => [
      `dates as in ${texts}`,
      { validity: sequence(...texts.map((text) => tlv(text.length > 13 ? 0x18 : 0x17, Buffer.from(text, 'latin1')))) },
    ]),
    ['no subject', { subject: encodeName([]) }],
    [
      'another subject',
      {
        subject: encodeName([
          { type: 'C', value: 'US' },
          { type: 'O', value: 'Other' },
        ]),
      },
    ],
    ['a subject with an organizational unit', { subject: encodeName([{ type: 'OU', value: 'Sidekey' }]) }],
    ['the key of the authority', { spki: authority.publicKey.export({ format: 'der', type: 'spki' }) }],
    [
      'the key of another, identified as such',
      { spki: other.spki, extensions: [...common, subjectKeyId(other.keyId), own[1]!] },
    ],
    ['another subject key identifier', { extensions: [...common, subjectKeyId(Buffer.alloc(20)), own[1]!] }],
    ['another URI', { extensions: [...common, own[0]!, subjectAltName('spiffe://ilinux.io/b', [])] }],
    [
      'a DNS name that was not requested',
      { extensions: [...common, own[0]!, subjectAltName(request.spiffeId, ['b'])] },
    ],
    ['a key usage twice and no purpose', { extensions: [...common.with(1, digitalSignature), ...own] }],
    ['an extension twice', { extensions: [...common, ...own, own[1]!] }],
    ['an extension that SVIDs do not have', { extensions: [...common, ...own, extension('2.5.29.30', sequence())] }],
    ['an authority', { extensions: [...replaced(2, extension('2.5.29.19', sequence(TRUE), true)), ...own] }],
    [
      'keys for signing certificates',
      { extensions: [...replaced(0, extension('2.5.29.15', Buffer.from('03020284', 'hex'), true)), ...own] },
    ],
    [
      'a key usage that is not critical',
      { extensions: [...replaced(0, extension('2.5.29.15', Buffer.from('03020780', 'hex'))), ...own] },
    ],
    ['a critical alternative name', { extensions: [...common, own[0]!, critical(own[1]!)] }],
    [
      'one purpose',
      { extensions: [...replaced(1, extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1')))), ...own] },
    ],
    ['any purpose', { extensions: [...replaced(1, extension('2.5.29.37', sequence(oid('2.5.29.37.0')))), ...own] }],
    [
      'the identifier of another authority',
      { extensions: [...replaced(3, authorityKeyId(Buffer.from(sibling.id, 'hex'))), ...own] },
    ],
    ...[...common, ...own].map((left): [string, Partial<CertificateContents>] => [
      `all extensions but ${left.toString('hex')}`,
      { extensions: [...common, ...own].filter((each) => each !== left) },
    ]),
  ];
  for (const [what, changes] of others) assert.notEqual(faultWith(changes), '', what);

  function replaced(at: number, by: Buffer): Buffer[] {
    return common.with(at, by);
  }
});

test('a private key that does not match the public key beside it is refused', async () => {
  const [mine, another] = [encodeKeyPairOf(leaf), encodeKeyPairOf(await writeLeaf(writer, request))];
  const scalar = (pkcs8: Buffer) => pkcs8.subarray(36, 68);
  const point = (pkcs8: Buffer) => pkcs8.subarray(-65);
  for (const [s, p] of [
    [scalar(another.pkcs8), point(mine.pkcs8)],
    [scalar(mine.pkcs8), point(another.pkcs8)],
    [scalar(another.pkcs8), point(another.pkcs8)],
  ] as const) {
    const { pkcs8 } = encodeKeyPair(s, p);
    assert.equal(faultOf({ privateKey: pem('PRIVATE KEY', pkcs8) }), 'its private key does not match');
  }
  for (const bad of [Buffer.alloc(32), Buffer.alloc(32, 0xff)]) {
    const { pkcs8 } = encodeKeyPair(bad, point(mine.pkcs8));
    assert.notEqual(faultOf({ privateKey: pem('PRIVATE KEY', pkcs8) }), '');
  }
});

test('OpenSSL detects a public key that was not derived from the private key', async () => {
  const [mine, other] = [leaf.keyPair as EcKeyPair, (await writeLeaf(writer, request)).keyPair as EcKeyPair];
  const keyPair = encodeKeyPair(other.scalar, mine.point);
  const changes = { keyPair, privateKey: pem('PRIVATE KEY', keyPair.pkcs8) };
  assert.equal(faultOf(changes, { check: checkLeafWithOpenSsl }), 'its private key does not match');
});

/** Calls `look` with copies of `whole` in which one bit of `part` is flipped, for each bit of it. */
function eachBitOf(part: Buffer, whole: Buffer, look: (changed: Buffer, bit: string) => void): void {
  const offset = part.byteOffset - whole.byteOffset;
  for (let at = offset; at < offset + part.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const changed = Buffer.from(whole);
      changed[at]! ^= 1 << bit;
      look(changed, `${at}.${bit}`);
    }
  }
}

/** Where the bit string of the signature starts. Everything before it is constant or compared. */
function signatureStart(certificate: Buffer, { keyType }: Signer): number {
  const algorithm = signatureAlgorithm(keyType).identifier;
  return certificate.lastIndexOf(algorithm) + algorithm.length;
}

function encodeKeyPairOf({ privateKey }: Leaf): ReturnType<typeof encodeKeyPair> {
  const der = Buffer.from(privateKey.toString().replace(/-.*-|\s/g, ''), 'base64');
  const pair = encodeKeyPair(der.subarray(36, 68), der.subarray(-65));
  assert.deepEqual(pair.pkcs8, der);
  assert.equal(pair.keyId.toString('hex'), hash('sha1', der.subarray(-65)));
  return pair;
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return sequence(oid(id), ...(isCritical ? [TRUE] : []), octetString(value));
}

/** `plain`: an extension whose identifier has five bytes. */
function critical(plain: Buffer): Buffer {
  return sequence(plain.subarray(2, 7), TRUE, plain.subarray(7));
}
