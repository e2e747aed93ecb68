import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { REVOCATION_REASON_NAMES, REVOCATION_REASONS } from '../../src/base/revocation.ts';
import { makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import { encodeRevoked, writeCrl } from '../../src/ca/crl.ts';
import { LeafWriter } from '../../src/ca/leaf.ts';
import { localSigner } from '../../src/ca/signer.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import type { AuthorityKeyType } from '../../src/spiffe/index.ts';
import { x509 } from '../support/peculiar.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DAY, HOUR, TRUST_DOMAIN, writeLeaf, YEAR } from './support.ts';

const NOW = Math.floor(Date.now() / 1000) * 1000;

async function chain(keyType: AuthorityKeyType) {
  const request = { trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' } as const], keyType, now: NOW };
  const root = await makeRoot(request, YEAR);
  return { root, intermediate: await makeIntermediate(request, root, DAY) };
}

const times = { thisUpdate: NOW - HOUR, nextUpdate: NOW + HOUR };

for (const keyType of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
  test(`openssl verifies leaves against lists of ${keyType} authorities, and refuses the revoked one`, async (t) => {
    const { root, intermediate } = await chain(keyType);
    const writer = new LeafWriter(localSigner(intermediate));
    const spiffeId = parseSpiffeId('spiffe://ilinux.io/web');
    const leaf = () =>
      writeLeaf(writer, { spiffeId, dnsNames: [], keyType: 'ec-p256', now: NOW, notAfter: NOW + HOUR });
    const [good, bad] = [await leaf(), await leaf()];
    const revoked = [encodeRevoked({ serial: bad.serial, revokedAt: NOW, reason: 'key-compromise' })];
    const crls = [
      await writeCrl(localSigner(root), { ...times, revoked: [], number: 1 }),
      await writeCrl(localSigner(intermediate), { ...times, revoked, number: 2 }),
    ];
    const folder = tempDir(t);
    const file = (name: string, text: string) => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const pem = crls.map(
      (der) =>
        `-----BEGIN X509 CRL-----\n${der.toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END X509 CRL-----\n`,
    );
    const trust = [
      '-CAfile',
      file('root.pem', root.certificate.toString()),
      '-CRLfile',
      file('crls.pem', pem.join('')),
    ];
    const verify = (chainPem: string) => {
      const one = file('leaf.pem', chainPem);
      const args = ['verify', ...trust, '-crl_check_all', '-x509_strict', '-untrusted', one, one];
      return spawnSync('openssl', args, { encoding: 'utf8' });
    };
    assert.equal(verify(good.certificateChain).status, 0, verify(good.certificateChain).stderr);
    const refused = verify(bad.certificateChain);
    assert.match(refused.stderr, /certificate revoked/);
    assert.notEqual(refused.status, 0);
  });
}

const reasons = fc.constantFrom(...REVOCATION_REASON_NAMES);
const certificates = fc.record({
  serial: fc
    .uint8Array({ minLength: 1, maxLength: 20 })
    .filter(([first]) => first! > 0 && first! < 0x80)
    .map((bytes) => Buffer.from(bytes).toString('hex')),
  revokedAt: fc.integer({ min: 0, max: Date.UTC(2090, 0, 1) }).map((at) => Math.floor(at / 1000) * 1000),
  reason: reasons,
});

test('property: another library reads what was written', async () => {
  const { root } = await chain('ec-p256');
  const contents = {
    revoked: fc.array(certificates),
    number: fc.nat(),
    nextUpdate: fc.constantFrom(NOW + HOUR, Date.UTC(2060, 0, 1)),
  };
  await fc.assert(
    fc.asyncProperty(fc.record(contents), async ({ revoked, number, nextUpdate }) => {
      const der = await writeCrl(localSigner(root), {
        ...{ number, thisUpdate: NOW, nextUpdate },
        revoked: revoked.map(encodeRevoked),
      });
      const crl = new x509.X509Crl(new Uint8Array(der));
      assert.deepEqual([crl.thisUpdate.getTime(), crl.nextUpdate!.getTime()], [NOW, nextUpdate]);
      const read = crl.entries.map(({ serialNumber, revocationDate, reason }) => [
        serialNumber,
        revocationDate.getTime(),
        reason ?? 0,
      ]);
      const written = revoked.map(({ serial, revokedAt, reason }) => [serial, revokedAt, REVOCATION_REASONS[reason]]);
      assert.deepEqual(read, written);
      assert.ok(await crl.verify({ publicKey: new x509.X509Certificate(root.certificate.raw) }));
    }),
    { numRuns: 50 },
  );
});
