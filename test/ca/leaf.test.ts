import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type Authority, makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import { randomSerial } from '../../src/ca/certificate.ts';
import { checkLeaf, checkLeafWithOpenSsl } from '../../src/ca/check.ts';
import { encodeKeyPair } from '../../src/ca/key-pair.ts';
import { type Leaf, type LeafRequest, LeafWriter } from '../../src/ca/leaf.ts';
import { localSigner, type Signer } from '../../src/ca/signer.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { x509 } from '../support/peculiar.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DAY, HOUR, SECOND, TRUST_DOMAIN, writeLeaf, YEAR } from './support.ts';

const NOW = Date.UTC(2026, 5, 1, 12, 0, 0, 250);

async function makeChain(now: number): Promise<{ root: Authority; intermediate: Authority }> {
  const request = { trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' } as const], now };
  const root = await makeRoot(request, 10 * YEAR);
  return { root, intermediate: await makeIntermediate(request, root, DAY) };
}

function leafRequest(changes: Partial<LeafRequest> = {}): LeafRequest {
  const spiffeId = parseSpiffeId('spiffe://ilinux.io/service-gray');
  return { spiffeId, dnsNames: [], keyType: 'ec-p256', now: NOW, notAfter: NOW + HOUR, ...changes };
}

const { root, intermediate } = await makeChain(NOW);
const writer = new LeafWriter(localSigner(intermediate));

function read(leaf: Leaf): X509Certificate {
  return new X509Certificate(leaf.certificateChain);
}

function extensions(certificate: X509Certificate): Record<string, { critical: boolean; value: string }> {
  return Object.fromEntries(
    new x509.X509Certificate(certificate.raw).extensions.map((extension) => [
      extension.type,
      { critical: extension.critical, value: Buffer.from(extension.value).toString('hex') },
    ]),
  );
}

test('a leaf has the profile of an X.509-SVID', async () => {
  const leaf = await writeLeaf(writer, leafRequest({ dnsNames: ['gray.example', '*.gray.example'] }));
  const certificate = read(leaf);
  const found = extensions(certificate);
  const { keyId } = await x509.SubjectKeyIdentifierExtension.create(
    new x509.X509Certificate(certificate.raw).publicKey,
  );
  assert.deepEqual(found, {
    '2.5.29.15': { critical: true, value: '03020780' },
    '2.5.29.37': { critical: false, value: '301406082b0601050507030106082b06010505070302' },
    '2.5.29.19': { critical: true, value: '3000' },
    '2.5.29.35': { critical: false, value: `30168014${intermediate.id}` },
    '2.5.29.14': { critical: false, value: `0414${keyId}` },
    '2.5.29.17': { critical: false, value: found['2.5.29.17']!.value },
  });
  assert.equal(certificate.subjectAltName, 'URI:spiffe://ilinux.io/service-gray, DNS:gray.example, DNS:*.gray.example');
  assert.equal(certificate.ca, false);
  assert.equal(certificate.subject, 'C=US\nO=Sidekey\nCN=gray.example');
  assert.equal(certificate.issuer, intermediate.certificate.subject);
  assert.equal(new x509.X509Certificate(certificate.raw).signatureAlgorithm.hash.name, 'SHA-256');
});

test('a leaf without a short enough DNS name has no common name', async () => {
  assert.equal(read(await writeLeaf(writer, leafRequest())).subject, 'C=US\nO=Sidekey');
  const long = `${'a'.repeat(62)}.io`;
  assert.equal(read(await writeLeaf(writer, leafRequest({ dnsNames: [long] }))).subject, 'C=US\nO=Sidekey');
});

test('a leaf is backdated by 30 s and ends as requested, on whole seconds', async () => {
  const leaf = await writeLeaf(writer, leafRequest({ notAfter: NOW + 90 * SECOND }));
  assert.equal(leaf.notBefore, Date.UTC(2026, 5, 1, 11, 59, 30));
  assert.equal(leaf.notAfter, Date.UTC(2026, 5, 1, 12, 1, 30));
  assert.equal(read(leaf).validFromDate.getTime(), leaf.notBefore);
  assert.equal(read(leaf).validToDate.getTime(), leaf.notAfter);
});

test('a leaf stays within the validity of its authority', async () => {
  const leaf = await writeLeaf(writer, leafRequest({ now: intermediate.notBefore, notAfter: NOW + 2 * DAY }));
  assert.equal(leaf.notBefore, intermediate.notBefore);
  assert.equal(leaf.notAfter, intermediate.notAfter);
});

test('the chain is leaf, then intermediate', async () => {
  const leaf = await writeLeaf(writer, leafRequest());
  const text = leaf.certificateChain;
  assert.equal(text.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.ok(text.endsWith(intermediate.certificate.toString()));
  assert.ok(read(leaf).verify(intermediate.publicKey));
  assert.ok(intermediate.certificate.verify(root.publicKey));
});

test('each leaf has its own key and serial', async () => {
  const leafs = await Promise.all(Array.from({ length: 20 }, () => writeLeaf(writer, leafRequest())));
  assert.equal(new Set(leafs.map((leaf) => leaf.serial)).size, 20);
  assert.equal(new Set(leafs.map((leaf) => leaf.privateKey)).size, 20);
  for (const leaf of leafs) {
    assert.equal(read(leaf).serialNumber.toLowerCase(), leaf.serial);
    assert.ok(read(leaf).checkPrivateKey(createPrivateKey(leaf.privateKey)));
  }
});

test('serials are positive, of at most 159 bits, without leading zero bytes', async () => {
  for (let i = 0; i < 2000; i += 1) {
    const serial = randomSerial();
    assert.ok(serial.length >= 1 && serial.length <= 20 && serial[0] !== 0);
    assert.ok(serial.length < 20 || serial[0]! < 0x80);
  }
});

test('a private key is encoded in 32 bytes, however small it is', async () => {
  const scalars = fc.uint8Array({ minLength: 1, maxLength: 31 }).filter((bytes) => bytes.some((byte) => byte !== 0));
  fc.assert(
    fc.property(scalars, (bytes) => {
      const scalar = Buffer.concat([Buffer.alloc(32 - bytes.length), bytes]);
      const { pkcs8, spki } = encodeKeyPair(scalar, pointOf(scalar));
      const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
      assert.deepEqual(key.export({ format: 'der', type: 'pkcs8' }), pkcs8);
      const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      assert.ok(verify('sha256', scalar, publicKey, sign('sha256', scalar, key)));
    }),
    { numRuns: 30 },
  );
});

test('the own reader, node and @peculiar/x509 read the same from a leaf, at every length and date', async () => {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789-';
  const label = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 20 }).map((text) => `a${text}`);
  const path = fc.constantFrom(1, 90, 100, 105, 108, 110, 112, 120, 127, 128, 220, 230, 236, 240, 255, 256, 1000, 2030);
  const instant = fc.constantFrom(0, Date.UTC(2049, 11, 31, 12), Date.UTC(2050, 0, 1), Date.UTC(2050, 0, 1) - HOUR);
  const chains = new Map<number, Signer>();
  await fc.assert(
    fc.asyncProperty(path, fc.array(label, { maxLength: 8 }), instant, async (length, dnsNames, now) => {
      if (!chains.has(now)) chains.set(now, localSigner((await makeChain(now)).intermediate));
      const authority = chains.get(now)!;
      const spiffeId = parseSpiffeId(`spiffe://ilinux.io/${'a'.repeat(length)}`.slice(0, 2048));
      const request = leafRequest({ spiffeId, dnsNames, now, notAfter: now + HOUR });
      const leaf = await writeLeaf(new LeafWriter(authority), request);
      checkLeaf(leaf, request, authority);
      checkLeafWithOpenSsl(leaf, request, authority);
      const byNode = read(leaf);
      const byPeculiar = new x509.X509Certificate(byNode.raw);
      const names = [`URI:${spiffeId}`, ...dnsNames.map((name) => `DNS:${name}`)];
      assert.equal(byNode.subjectAltName, names.join(', '));
      assert.deepEqual(byPeculiar.getExtension(x509.SubjectAlternativeNameExtension)!.names.toJSON(), [
        { type: 'url', value: spiffeId },
        ...dnsNames.map((value) => ({ type: 'dns', value })),
      ]);
      for (const [from, until] of [
        [byNode.validFromDate, byNode.validToDate],
        [byPeculiar.notBefore, byPeculiar.notAfter],
      ] as const) {
        assert.deepEqual([from.getTime(), until.getTime()], [leaf.notBefore, leaf.notAfter]);
      }
      assert.equal(BigInt(`0x${byPeculiar.serialNumber}`), BigInt(`0x${leaf.serial}`));
      assert.ok(byNode.verify(authority.publicKey));
      assert.ok(
        await byPeculiar.verify({
          publicKey: authority.publicKey.export({ format: 'der', type: 'spki' }),
          signatureOnly: true,
        }),
      );
    }),
    { numRuns: 60 },
  );
});

test('a name that is not ASCII is refused', async () => {
  await assert.rejects(writeLeaf(writer, leafRequest({ dnsNames: ['gräy.example'] })), RangeError);
});

test('openssl reads a leaf and verifies its chain', async (t) => {
  if (!has('openssl', 'version')) return t.skip('openssl is not installed');
  const files = writeChain(t, await writeLeaf(writer, leafRequest({ dnsNames: ['gray.example'] })));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8' });
  const at = ['-attime', String(Math.floor(NOW / SECOND))];
  const verified = openssl(
    'verify',
    '-x509_strict',
    ...at,
    '-CAfile',
    files.root,
    '-untrusted',
    files.chain,
    files.chain,
  );
  assert.match(verified, /: OK/);
  const text = openssl('x509', '-noout', '-text', '-in', files.chain);
  for (const line of [
    /Version: 3/,
    /Signature Algorithm: ecdsa-with-SHA256/,
    /Not Before: Jun {2}1 11:59:30 2026 GMT/,
    /Not After : Jun {2}1 13:00:00 2026 GMT/,
    /NIST CURVE: P-256/,
    /Key Usage: critical\s+Digital Signature\n/,
    /TLS Web Server Authentication, TLS Web Client Authentication\n/,
    /Basic Constraints: critical\s+CA:FALSE/,
    /URI:spiffe:\/\/ilinux\.io\/service-gray, DNS:gray\.example\n/,
  ]) {
    assert.match(text, line);
  }
  openssl('pkey', '-check', '-noout', '-in', files.key);
});

function pointOf(scalar: Uint8Array): Buffer {
  const sec1 = Buffer.concat([
    Buffer.from('30310201010420', 'hex'),
    scalar,
    Buffer.from('a00a06082a8648ce3d030107', 'hex'),
  ]);
  const key = createPublicKey(createPrivateKey({ key: sec1, format: 'der', type: 'sec1' }));
  return key.export({ format: 'der', type: 'spki' }).subarray(-65);
}

function has(program: string, argument: string): boolean {
  try {
    execFileSync(program, [argument], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function writeChain(t: TestContext, leaf: Leaf): { chain: string; root: string; key: string } {
  const dir = tempDir(t);
  const files = {
    chain: path.join(dir, 'chain.pem'),
    root: path.join(dir, 'root.pem'),
    key: path.join(dir, 'key.pem'),
  };
  writeFileSync(files.chain, leaf.certificateChain);
  writeFileSync(files.root, root.certificate.toString());
  writeFileSync(files.key, leaf.privateKey);
  return files;
}
