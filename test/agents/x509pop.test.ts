import assert from 'node:assert/strict';
import { constants, createHash, randomBytes, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { reasonOf } from '../support/agent-client.ts';
import { x509 } from '../support/peculiar.ts';
import { tempDir } from '../support/temp-dir.ts';
import { digitalSignature, type HostCertificate, type IssueOptions, issue, keyEncipherment } from './certificates.ts';
import { openPort } from './support.ts';

const HOUR = 3_600_000;

const payload = (...certificates: readonly HostCertificate[]) =>
  JSON.stringify({ certificates: certificates.map(({ der }) => der.toString('base64')) });

/** Answers as SPIRE's agent does. */
function respond({ privateKey, certificate }: HostCertificate, own = randomBytes(32)) {
  return (challenge: Buffer): Buffer => {
    const asked = JSON.parse(challenge.toString());
    const isRsa = certificate.publicKey.asymmetricKeyType === 'rsa';
    const kind = isRsa ? 'rsa_signature' : 'ecdsa_signature';
    const signed = Buffer.concat([Buffer.from(asked[kind].nonce, 'base64'), own]);
    const nonce = own.toString('base64');
    if (isRsa) {
      const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_MAX_SIGN };
      const signature = sign('sha256', signed, { key: privateKey, ...pss }).toString('base64');
      return Buffer.from(JSON.stringify({ [kind]: { nonce, signature } }));
    }
    const pair = sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    // Leading zeros are cut.
    const number = (bytes: Buffer) => bytes.subarray(bytes.findIndex((byte) => byte !== 0)).toString('base64');
    const [r, s] = [number(pair.subarray(0, pair.length / 2)), number(pair.subarray(pair.length / 2))];
    return Buffer.from(JSON.stringify({ [kind]: { nonce, r, s } }));
  };
}

async function open(t: TestContext) {
  const root = await issue({ name: 'root', isCa: true });
  const file = path.join(tempDir(t), 'hosts.pem');
  writeFileSync(file, root.pem, { mode: 0o600 });
  return { root, ...(await openPort(t, { popCaFile: file })) };
}

const sha1 = ({ der }: HostCertificate) => createHash('sha1').update(der).digest('hex');

test('an agent proves possession of its key: P-256, P-384, RSA; its selectors are those of SPIRE', async (t) => {
  const { root, client, registry } = await open(t);
  const between = await issue({ name: 'between', issuer: root, isCa: true });
  for (const type of ['P-256', 'P-384', 'rsa'] as const) {
    const uris = ['x509pop://ilinux.io/rack/a/12', 'x509pop://other.example/rack/b'];
    const host = await issue({ name: 'web-1', issuer: between, type, uris });
    const joined = await client().attest('x509pop', payload(host, between), respond(host));
    assert.equal(joined.id, `spiffe://ilinux.io/spire/agent/x509pop/${sha1(host)}`);
    assert.equal(joined.reattestable, true);
    assert.deepEqual(
      registry.agents.get(joined.id)!.selectors.map(({ value }) => value),
      [
        'subject:cn:web-1',
        `ca:fingerprint:${sha1(between)}`,
        `ca:fingerprint:${sha1(root)}`,
        `serialnumber:${host.certificate.serialNumber.toLowerCase()}`,
        'san:rack:a/12',
      ],
    );
  }
});

test('it attests itself again, which ends its former SVID: a clone is noticed; a banned one stays out', async (t) => {
  const { root, client, registry } = await open(t);
  const host = await issue({ issuer: root });
  const first = await client().attest('x509pop', payload(host), respond(host));
  const agent = client(first);
  await agent.sync();
  const second = await client().attest('x509pop', payload(host), respond(host));
  await assert.rejects(agent.sync(), (error: { code: number }) => error.code === 7 && reasonOf(error) === 3);
  const again = client(second);
  await again.sync();
  await assert.rejects(again.renew(), (error: { code: number }) => error.code === 7 && reasonOf(error) === 5);
  await registry.agents.ban(first.id);
  await assert.rejects(
    client().attest('x509pop', payload(host), respond(host)),
    (error: { code: number }) => error.code === 7 && reasonOf(error) === 4,
  );
  assert.equal(registry.agents.list().length, 1);
});

test('a certificate that does not prove enough is refused', async (t) => {
  const { root, client: connected, registry, clock } = await open(t);
  /** Another client, a second later: attestations from one address are limited. */
  const client = () => {
    clock.advance(1_000);
    return connected();
  };
  const other = await issue({ name: 'root', isCa: true });
  const good = await issue({ issuer: root });
  const notCa = await issue({ name: 'no-ca', issuer: root });
  const noSigner = await issue({ name: 'no-signer', issuer: root, isCa: true, keyUsage: digitalSignature });
  const shallow = await issue({ name: 'shallow', issuer: root, isCa: true, pathLength: 0 });
  const below = await issue({ name: 'below', issuer: shallow, isCa: true });
  const old = await issue({ name: 'old', issuer: root, isCa: true, notAfter: Date.now() - 60_000 });
  const nameConstraints = new x509.Extension('2.5.29.30', false, Buffer.from('3000', 'hex'));
  const constrained = await issue({ name: 'constrained', issuer: root, isCa: true, more: [nameConstraints] });
  const critical = new x509.Extension('1.2.3.4', true, Buffer.from('0500', 'hex'));
  const of = (issuer: HostCertificate, more: IssueOptions = {}) => issue({ issuer, ...more });
  const chains: readonly (readonly [string, readonly HostCertificate[]])[] = [
    ['of another authority of the same name', [await of(other)]],
    ['self-signed', [await issue()]],
    ['its issuer is no authority', [await of(notCa), notCa]],
    ['its issuer may not sign', [await of(noSigner), noSigner]],
    ['the path is too long', [await of(below), below, shallow]],
    ['its issuer has expired', [await of(old), old]],
    ['its issuer is missing', [await of(shallow)]],
    ['name constraints', [await of(constrained), constrained]],
    ['an unknown critical extension', [await of(root, { more: [critical] })]],
    ['expired', [await of(root, { notAfter: Date.now() - 60_000 })]],
    ['not valid yet', [await of(root, { notBefore: Date.now() + HOUR })]],
    ['for encryption alone', [await of(root, { keyUsage: keyEncipherment })]],
  ];
  for (const [what, chain] of chains) {
    await assert.rejects(client().attest('x509pop', payload(...chain), respond(chain[0]!)), { code: 3 }, what);
  }
  const otherKey = { ...good, privateKey: (await issue()).privateKey };
  const answers: readonly (readonly [string, (challenge: Buffer) => Buffer])[] = [
    ['signed with another key', respond(otherKey)],
    ['a short nonce', respond(good, randomBytes(8))],
    ['no JSON', () => Buffer.from('no')],
    ['empty', () => Buffer.alloc(0)],
    ['the other kind', () => Buffer.from(JSON.stringify({ rsa_signature: { nonce: '', signature: '' } }))],
    ['null', () => Buffer.from(JSON.stringify({ ecdsa_signature: null }))],
    ['zeros', () => Buffer.from(JSON.stringify({ ecdsa_signature: { nonce: 'AA==', r: 'AA==', s: 'AA==' } }))],
    ['long', () => Buffer.alloc(500_000, '[')],
  ];
  for (const [what, answer] of answers) {
    await assert.rejects(client().attest('x509pop', payload(good), answer), { code: 3 }, what);
  }
  const many = payload(...Array.from({ length: 6 }, () => good));
  for (const bad of ['', '[]', '{"certificates":[]}', '{"certificates":["AAAA"]}', '{"certificates":[1]}', many]) {
    await assert.rejects(client().attest('x509pop', bad), { code: 3 }, bad.slice(0, 30));
  }
  assert.equal(registry.agents.list().length, 0);
  await client().attest('x509pop', payload(good), respond(good));
});
