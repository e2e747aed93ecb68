import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeCsr } from '../../../src/ca/upstream/csr.ts';
import { x509 } from '../../support/peculiar.ts';
import { run } from '../../support/run.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { TRUST_DOMAIN } from '../support.ts';
import { ID, type KeyType, newKey } from './pki.ts';

const subject = [
  { type: 'C', value: 'CN' },
  { type: 'O', value: 'SPIFFE' },
] as const;

for (const type of ['P-256', 'P-384', 'P-521', 'RSA'] satisfies KeyType[]) {
  test(`a request for a key of type ${type} has subject and trust domain, and nothing about CA and usage`, async (t) => {
    const privateKey = newKey(type);
    const csr = await makeCsr({ trustDomain: TRUST_DOMAIN, subject, privateKey });
    const read = new x509.Pkcs10CertificateRequest(csr);
    assert.ok(await read.verify());
    assert.match(read.subject, /^C=CN, O=SPIFFE, .*=\d+$/);
    assert.deepEqual(
      Array.from(read.extensions, ({ type: oid }) => oid),
      ['2.5.29.17'],
    );
    const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
    assert.deepEqual(Buffer.from(read.publicKey.rawData), spki);
    const file = path.join(tempDir(t), 'csr');
    writeFileSync(file, csr);
    const { status, stdout, stderr } = await run(['openssl', 'req', '-verify', '-noout', '-text', '-in', file]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`URI:${ID}\n`));
    const again = new x509.Pkcs10CertificateRequest(await makeCsr({ trustDomain: TRUST_DOMAIN, subject, privateKey }));
    assert.notEqual(again.subject, read.subject);
  });
}

for (const type of ['RSA-1024', 'Ed25519'] satisfies KeyType[]) {
  test(`no request is made for a key of type ${type}`, async () => {
    await assert.rejects(makeCsr({ trustDomain: TRUST_DOMAIN, subject, privateKey: newKey(type) }), /its key is /);
  });
}
