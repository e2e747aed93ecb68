/** Keys of all types with a real server: where they are stored, and where they are not. */

import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { TlsCertificate } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import { SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, type Served, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';

const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
const PASSPHRASE = 'correct horse battery staple';

function passphraseIn({ directory }: Place, name = 'passphrase', text = PASSPHRASE): string {
  const file = path.join(directory, name);
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return file;
}

async function fetch(server: Served, name: string): Promise<TlsCertificate> {
  const client = new SdsClient(server.socket);
  try {
    const id = `spiffe://${TRUST_DOMAIN}/${name}`;
    return secretOf(await client.fetch({ resourceNames: [id] }), id).tlsCertificate!;
  } finally {
    client.close();
  }
}

/** All files below a directory, as bytes. */
function filesBelow(directory: string): Buffer[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((item) => path.join(item.parentPath, item.name))
    .filter((file) => lstatSync(file).isFile())
    .map((file) => readFileSync(file));
}

/** Runs a start that ends by itself. */
async function ending(
  place: Place,
  flags: readonly string[],
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawnServe(place, flags);
  let [out, err] = ['', ''];
  child.stdout!.on('data', (text: Buffer) => {
    out += text;
  });
  child.stderr!.on('data', (text: Buffer) => {
    err += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

describe('keys', { timeout: 120_000, concurrency: 2 }, () => {
  it('of SVIDs never reach the disk, those of authorities are encrypted there, and none is in the log', async (t) => {
    const place = makePlace(t);
    const flags = ['--key-passphrase-file', passphraseIn(place), '--ca-key-type', 'rsa-2048'];
    const server = await serve(t, { place, flags, logLevel: 'trace' });
    for (const [name, type] of [
      ['rsa', 'rsa-2048'],
      ['ec', 'ec-p256'],
    ]) {
      const body = { spiffe_id: `spiffe://${TRUST_DOMAIN}/${name}`, selectors: MINE, x509_svid_key_type: type };
      assert.equal((await server.request('POST', '/v1/entries', body)).status, 201);
    }
    const { body: ca } = await server.request('GET', '/v1/ca');
    assert.deepEqual(
      ca.authorities.map(({ role, key_type: type }: { role: string; key_type: string }) => [role, type]),
      [
        ['root', 'rsa-2048'],
        ['intermediate', 'rsa-2048'],
        ['jwt', 'ec-p256'],
        ['jwt', 'ec-p256'],
      ],
    );
    const texts: string[] = [];
    for (const name of ['rsa', 'ec']) {
      const { certificateChain, privateKey } = await fetch(server, name);
      const certificate = new X509Certificate(certificateChain!.inlineBytes!);
      assert.equal(certificate.publicKey.asymmetricKeyType, name);
      const key = createPrivateKey(Buffer.from(privateKey!.inlineBytes!));
      assert.ok(certificate.checkPrivateKey(key));
      texts.push(Buffer.from(privateKey!.inlineBytes!).toString());
    }
    const needles = texts.flatMap((pem) => {
      const { d } = createPrivateKey(pem).export({ format: 'jwk' });
      return [Buffer.from(d!, 'base64url'), Buffer.from(d!), Buffer.from(pem.split('\n')[2]!)];
    });
    const found = () => filesBelow(place.directory).some((bytes) => needles.some((needle) => bytes.includes(needle)));
    assert.equal(found(), false, 'while it runs');
    await server.stop('SIGKILL');
    assert.equal(found(), false, 'after a crash');
    for (const bytes of filesBelow(path.join(place.dataDir, 'ca'))) assert.ok(!bytes.includes('BEGIN PRIVATE KEY'));
    const log = JSON.stringify(server.log);
    for (const secret of [PASSPHRASE, 'PRIVATE KEY', ...needles.map(String)]) assert.ok(!log.includes(secret));
    // A passphrase that is stored is no passphrase: the search itself finds what is there.
    writeFileSync(path.join(place.dataDir, 'leak'), needles[0]!);
    assert.equal(found(), true);
  });

  it('are checked before a start, which says what it would change', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const file = passphraseIn(place);
    const before = filesBelow(place.dataDir);
    const checked = await ending(place, ['--check', '--key-passphrase-file', file, '--ca-key-type', 'ec-p384']);
    assert.equal(checked.code, 0, checked.err);
    assert.match(
      checked.out,
      /keys in \S+\/ca that would be encrypted with the passphrase of --key-passphrase-file: 4\n/,
    );
    assert.match(
      checked.out,
      /the root keeps its ec-p256 key; the next one gets an ec-p384 key: sidekey ca rotate --root\n/,
    );
    assert.match(checked.out, /the intermediate keeps its ec-p256 key; .*: sidekey ca rotate\n/);
    assert.deepEqual(filesBelow(place.dataDir), before);
    await (await serve(t, { place, flags: ['--key-passphrase-file', file] })).stop();
    for (const [flags, problem] of [
      [[], /is encrypted; give the file with its passphrase: --key-passphrase-file FILE \(ERR_CA\)/],
      [
        ['--key-passphrase-file', passphraseIn(place, 'other', `${PASSPHRASE}!`)],
        /is encrypted with another passphrase than that of --key-passphrase-file, or is damaged; .* \(ERR_CA\)/,
      ],
    ] as const) {
      for (const start of [['--check', ...flags], flags]) {
        const { code, out, err } = await ending(place, start);
        assert.equal(code, 1, out);
        assert.match(out + err, problem);
        assert.ok(!(out + err).includes(PASSPHRASE));
      }
    }
    const back = ['--check', '--old-key-passphrase-file', file];
    assert.match((await ending(place, back)).out, /keys in \S+\/ca that would be decrypted: 4\n/);
  });

  it('have their passphrase outside the data directory, in a closed file with one long line', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const inside = passphraseIn({ ...place, directory: place.dataDir });
    const open = passphraseIn(place, 'open');
    chmodSync(open, 0o644);
    const before = filesBelow(place.dataDir);
    for (const [file, problem] of [
      [inside, /--key-passphrase-file: .* is in the data directory, .*must not have the passphrase of its keys/],
      [open, /--key-passphrase-file: .*is open to others, who may have read it \(mode 0644\)/],
      [
        passphraseIn(place, 'short', 'sesame'),
        /--key-passphrase-file: .*its passphrase has only 6 characters; it contains one/,
      ],
      [path.join(place.directory, 'none'), /--key-passphrase-file: .*ENOENT/],
    ] as const) {
      const { code, err } = await ending(place, ['--key-passphrase-file', file]);
      assert.equal(code, 2);
      assert.match(err, problem);
    }
    assert.deepEqual(filesBelow(place.dataDir), before);
  });
});
