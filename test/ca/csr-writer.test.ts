import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { keyOfCsr } from '../../src/ca/csr.ts';
import { makeCsr } from '../../src/ca/csr-writer.ts';
import { generateEcKeyPair, generateRsaKeyPair } from '../../src/ca/key-pair.ts';
import { KeyPairs } from '../../src/ca/key-pairs.ts';
import { parseSpiffeId } from '../../src/spiffe/index.ts';

const ID = parseSpiffeId('spiffe://example.org/web');
const DER = {
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'der' },
};

function made(type: 'ec' | 'rsa', options: object) {
  const generate = generateKeyPairSync as unknown as (
    type: string,
    options: object,
  ) => { publicKey: Buffer; privateKey: Buffer };
  const { publicKey: spki, privateKey: pkcs8 } = generate(type, { ...options, ...DER });
  return { spki, pkcs8 };
}

const KEYS = {
  'the EC keys of SVIDs': async () => generateEcKeyPair(),
  'the RSA keys of SVIDs': () => generateRsaKeyPair(),
  'P-384': async () => made('ec', { namedCurve: 'secp384r1' }),
  'RSA of 3072 bits': async () => made('rsa', { modulusLength: 3072 }),
  'RSA of 4096 bits': async () => made('rsa', { modulusLength: 4096 }),
};

/** OpenSSL's text of a request whose signature it has verified. */
function byOpenSsl(der: Buffer): string {
  const args = ['req', '-inform', 'DER', '-verify', '-noout', '-text'];
  const { status, stdout, stderr } = spawnSync('openssl', args, { input: der, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /verify OK/);
  return stdout;
}

describe('a CSR that Sidekey writes', () => {
  for (const [name, make] of Object.entries(KEYS)) {
    it(`of ${name} is accepted by OpenSSL, by @peculiar/x509 and by Sidekey's own reader`, async () => {
      const key = await make();
      const csr = await makeCsr(key, { spiffeId: ID, dnsNames: ['web.example.org', 'web'] });

      const text = byOpenSsl(csr);
      assert.match(text, /Subject: C ?= ?US, O ?= ?Sidekey\n/);
      assert.match(text, /URI:spiffe:\/\/example\.org\/web, DNS:web\.example\.org, DNS:web\n/);

      const { Pkcs10CertificateRequest } = await import('../../src/ca/peculiar.ts');
      const read = new Pkcs10CertificateRequest(csr);
      assert.equal(await read.verify(), true);
      assert.deepEqual(Buffer.from(read.publicKey.rawData), key.spki);

      const { spki } = await keyOfCsr(csr);
      assert.deepEqual(spki, key.spki);
    });
  }

  it('without names has no extensions', async () => {
    const key = generateEcKeyPair();
    const csr = await makeCsr(key);
    assert.doesNotMatch(byOpenSsl(csr), /Alternative/);
    assert.deepEqual((await keyOfCsr(csr)).spki, key.spki);
  });

  it('is refused for keys that servers do not certify, and for names that are not ASCII', async () => {
    await assert.rejects(makeCsr(made('ec', { namedCurve: 'secp521r1' })), /a CSR needs an EC key on P-256 or P-384/);
    await assert.rejects(makeCsr(generateEcKeyPair(), { spiffeId: ID, dnsNames: ['bücher'] }), RangeError);
  });
});

describe('the keys of SVIDs', () => {
  it('are made of each type', async () => {
    const keys = new KeyPairs();
    for (const type of ['ec-p256', 'rsa-2048'] as const) {
      const { type: madeType, spki, keyId } = await keys.make(type);
      assert.equal(madeType, type);
      const bits = spki.subarray(type === 'ec-p256' ? 26 : 24);
      assert.deepEqual(keyId, createHash('sha1').update(bits).digest());
    }
    keys.close();
    await assert.rejects(async () => {
      for (;;) await keys.make('rsa-2048');
    }, /the authority is closed/);
  });
});
