/** Keys that are encrypted at rest. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { SidekeyError } from '../../src/base/errors.ts';
import { inspectAuthorities } from '../../src/ca/certificate-authority.ts';
import { KeyCipher } from '../../src/ca/key-cipher.ts';
import type { CertificateAuthority } from '../../src/ca/types.ts';
import { AUTHORITY_KEY_TYPES } from '../../src/spiffe/key-types.ts';
import { processorTime } from '../support/processor-time.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';
import { openTestAuthority, request, type TestAuthority, TRUST_DOMAIN } from './support.ts';

const PASSPHRASE = 'correct horse battery staple';
const OTHER = 'another passphrase of the keys';
const noOpenSsl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

/** The authorities' files by name, with their content. */
function filesIn(dir: string): Map<string, string> {
  const names = readdirSync(dir).filter((name) => name.endsWith('.pem'));
  return new Map(names.map((name) => [name, readFileSync(path.join(dir, name), 'utf8')]));
}

const labels = (text: string) => [...text.matchAll(/-----BEGIN ([^-]+)-----/g)].map(([, label]) => label);
const ENCRYPTED = ['CERTIFICATE', 'ENCRYPTED PRIVATE KEY'];
const CLEAR = ['CERTIFICATE', 'PRIVATE KEY'];

function assertForm(dir: string, form: string[], count = 2): void {
  const files = filesIn(dir);
  assert.equal(files.size, count);
  for (const [name, text] of files) assert.deepEqual(labels(text), form, name);
}

/** Restarts with these options, which must fail and change no file. */
async function refusal(
  authority: TestAuthority,
  changes: Parameters<TestAuthority['restart']>[0],
): Promise<SidekeyError> {
  const before = filesIn(authority.dir);
  const error = await authority.restart(changes).then(
    () => assert.fail('it opened'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SidekeyError, String(error));
  assert.equal(error.code, 'ERR_CA');
  assert.deepEqual(filesIn(authority.dir), before);
  return error;
}

const idsOf = (ca: CertificateAuthority) => ca.authorities().map(({ id }) => id);

/** Replaces the key's block in the file of each authority. */
function changeKeys(dir: string, change: (block: string) => string): void {
  for (const [name, text] of filesIn(dir)) {
    const at = text.search(/-----BEGIN (ENCRYPTED )?PRIVATE KEY/);
    writeFileSync(path.join(dir, name), text.slice(0, at) + change(text.slice(at)));
  }
}

describe('with a passphrase', { concurrency: 2 }, () => {
  it('keys of all types are written so that openssl and node read them', { skip: noOpenSsl }, async (t) => {
    const file = path.join(tempDir(t), 'passphrase');
    writeFileSync(file, `${PASSPHRASE}\n`);
    for (const caKeyType of AUTHORITY_KEY_TYPES.slice(0, 3)) {
      const authority = await openTestAuthority(t, { caKeyType, passphrase: PASSPHRASE });
      assertForm(authority.dir, ENCRYPTED);
      for (const [name, text] of filesIn(authority.dir)) {
        const openssl = ['pkey', '-in', path.join(authority.dir, name), '-passin', `file:${file}`];
        const plain = execFileSync('openssl', openssl, { encoding: 'utf8' });
        const byNode = createPrivateKey({ key: text.slice(text.indexOf('-----BEGIN ENC')), passphrase: PASSPHRASE });
        assert.ok(byNode.equals(createPrivateKey(plain)));
      }
      const algorithm = execFileSync('openssl', ['asn1parse'], { input: keyBlock(authority.dir), encoding: 'utf8' });
      for (const part of [/PBES2/, /scrypt/, /INTEGER +:4000/, /INTEGER +:08/, /INTEGER +:05/, /aes-256-cbc/]) {
        assert.match(algorithm, part);
      }
      const ids = idsOf(authority.ca);
      assert.deepEqual(idsOf(await authority.restart()), ids);
    }
  });

  it('files in clear are encrypted at the start, and other certificates stay', async (t) => {
    const authority = await openTestAuthority(t);
    const { dir, ca, lines } = authority;
    assertForm(dir, CLEAR);
    const [ids, bundle] = [idsOf(ca), ca.bundle()];
    const again = await authority.restart({ passphrase: PASSPHRASE });
    assertForm(dir, ENCRYPTED);
    assert.deepEqual([idsOf(again), again.bundle()], [ids, bundle]);
    assert.ok(
      lines().some(({ msg }) => msg === 'keys of authorities were encrypted or decrypted, as the settings require'),
    );
    await again.rotate('intermediate');
    assertForm(dir, ENCRYPTED, 3);
    const written = filesIn(dir);
    await (await authority.restart({ passphrase: PASSPHRASE })).issue(request());
    assert.deepEqual(filesIn(dir), written, 'they are not written again');
  });

  it('the key of a request to an offline root is encrypted too, also when the offline root is not in use any more', async (t) => {
    const { dir, restart } = await openTestAuthority(t, { offlineRoot: true });
    const key = path.join(dir, 'request.key');
    while (!existsSync(path.join(dir, 'request.csr'))) await new Promise(setImmediate);
    assert.deepEqual(labels(readFileSync(key, 'utf8')), ['PRIVATE KEY']);
    await restart({ offlineRoot: false, passphrase: PASSPHRASE });
    assert.deepEqual(labels(readFileSync(key, 'utf8')), ['ENCRYPTED PRIVATE KEY']);
  });

  it('a start without it, or with another one, fails with the file and the remedy', async (t) => {
    const authority = await openTestAuthority(t, { passphrase: PASSPHRASE });
    const none = await refusal(authority, { passphrase: undefined });
    assert.match(
      none.message,
      /intermediate-\w+\.pem is encrypted; give the file with its passphrase: --key-passphrase/,
    );
    const wrong = await refusal(authority, { passphrase: OTHER });
    const expected =
      /\.pem is encrypted with another passphrase than that of --key-passphrase-file, or is damaged; give the /;
    assert.match(wrong.message, expected);
    const both = await refusal(authority, { passphrase: OTHER, oldPassphrase: `${OTHER}!` });
    assert.match(both.message, /than that of --key-passphrase-file or --old-key-passphrase-file, or is damaged; /);
    for (const error of [none, wrong, both]) {
      const shown = inspect(error, { depth: 9 });
      for (const secret of [PASSPHRASE, OTHER, 'BEGIN']) assert.ok(!shown.includes(secret), secret);
    }
    await (await authority.restart()).issue(request());
  });

  it('the passphrase changes at a start with both, also if the last start ended in the middle', async (t) => {
    const authority = await openTestAuthority(t, { passphrase: PASSPHRASE });
    const { dir, ca } = authority;
    const ids = idsOf(ca);
    const [[name, old]] = [...filesIn(dir)] as [[string, string]];
    const changes = { passphrase: OTHER, oldPassphrase: PASSPHRASE };
    assert.deepEqual(idsOf(await authority.restart(changes)), ids);
    // As a crash between the two files leaves it.
    writeFileSync(path.join(dir, name), old);
    writeFileSync(path.join(dir, `${name}.new`), old.slice(0, 700));
    await refusal(authority, { passphrase: OTHER });
    assert.deepEqual(idsOf(await authority.restart(changes)), ids);
    assert.deepEqual(idsOf(await authority.restart({ passphrase: OTHER })), ids);
    assert.ok(!existsSync(path.join(dir, `${name}.new`)));
    assertForm(dir, ENCRYPTED);
    // And back to keys in clear.
    assert.deepEqual(idsOf(await authority.restart({ passphrase: undefined, oldPassphrase: OTHER })), ids);
    assertForm(dir, CLEAR);
    assert.deepEqual(idsOf(await authority.restart({ passphrase: undefined })), ids);
  });

  it('keys that openssl encrypted or decrypted in its own ways are read', { skip: noOpenSsl }, async (t) => {
    const authority = await openTestAuthority(t, { passphrase: PASSPHRASE });
    const { dir, ca } = authority;
    const ids = idsOf(ca);
    const passphrases = ['-passin', `pass:${PASSPHRASE}`, '-passout', `pass:${PASSPHRASE}`];
    for (const command of [
      ['pkey', '-aes-256-cbc', ...passphrases],
      ['pkcs8', '-topk8', '-scrypt', '-scrypt_N', '1024', ...passphrases],
      ['pkcs8', '-topk8', '-v2', 'aes-128-cbc', ...passphrases],
      ['pkey', '-passin', `pass:${PASSPHRASE}`],
    ]) {
      changeKeys(dir, (input) => execFileSync('openssl', command, { input, encoding: 'utf8' }));
      assert.deepEqual(idsOf(await authority.restart()), ids, command.join(' '));
    }
    assertForm(dir, ENCRYPTED);
  });

  it('a truncated or changed key, or that of another authority, stops the start', async (t) => {
    const authority = await openTestAuthority(t, { passphrase: PASSPHRASE });
    const { dir } = authority;
    const before = filesIn(dir);
    const [[, text], [otherName, other]] = [...before] as [[string, string], [string, string]];
    const key = text.slice(text.indexOf('-----BEGIN ENC'));
    const certificate = other.slice(0, other.indexOf('-----BEGIN ENC'));
    const ownKey = other.slice(other.indexOf('-----BEGIN ENC'));
    const ownLines = ownKey.split('\n');
    for (const [content, problem] of [
      [certificate + key, /contains a private key that does not match its certificate; restore/],
      [certificate, /does not contain exactly one private key; restore/],
      [certificate + ownKey + key, /does not contain exactly one private key; restore/],
      [other.slice(0, -40), /does not contain exactly one private key; restore/],
      [certificate + [...ownLines.slice(0, 3), ...ownLines.slice(-2)].join('\n'), /passphrase.*or is damaged/],
      [certificate + ownKey.replace(/.{8}(?=\n-----END)/, ''), /passphrase.*or is damaged/],
      [certificate + ownLines.with(2, 'A'.repeat(64)).join('\n'), /passphrase.*or is damaged/],
      ['', /does not contain exactly one private key; restore/],
    ] as const) {
      writeFileSync(path.join(dir, otherName), content);
      const { message } = await refusal(authority, {});
      assert.ok(message.startsWith(path.join(dir, otherName)), message);
      assert.match(message, problem);
    }
    writeFileSync(path.join(dir, otherName), other);
    await (await authority.restart()).issue(request());
  });

  it('a check reads the keys, says which would change, and changes nothing', async (t) => {
    const { dir, ca } = await openTestAuthority(t);
    const trustDomain = TRUST_DOMAIN;
    const before = filesIn(dir);
    const found = await inspectAuthorities(dir, { trustDomain, passphrase: PASSPHRASE });
    assert.deepEqual(
      found.map(({ authority, state, isCurrent }) => [authority.id, state, isCurrent]).sort(),
      [...idsOf(ca).map((id) => [id, 'active', false])].sort(),
    );
    assert.deepEqual(filesIn(dir), before);
    assert.deepEqual(await inspectAuthorities(path.join(dir, 'none'), { trustDomain }), []);
  });

  it('a key is encrypted differently each time, and all with one derived key', async () => {
    const cipher = new KeyCipher(PASSPHRASE);
    const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const begun = processorTime();
    const one = await cipher.encrypt(key);
    const first = processorTime(begun);
    const blocks = await Promise.all(Array.from({ length: 50 }, () => cipher.encrypt(key)));
    assert.equal(new Set([one, ...blocks]).size, 51);
    assert.ok(processorTime(begun) < 10 * first, 'the key is not derived each time');
    for (const block of blocks) assert.ok((await cipher.decrypt(block)).equals(key));
  });
});

function keyBlock(dir: string): string {
  const text = [...filesIn(dir).values()][0]!;
  return text.slice(text.indexOf('-----BEGIN ENC'));
}

describe('on a full disk', { skip: whyNoSmallDisk() ?? false }, () => {
  const open = async (t: TestContext, changes = {}) => {
    const disk = makeSmallDisk(t, 256);
    return { disk, authority: await openTestAuthority(t, { dir: path.join(disk.directory, 'ca'), ...changes }) };
  };

  it('keys that cannot be encrypted stay as they are, and are encrypted at the next start', async (t) => {
    const { disk, authority } = await open(t);
    const ids = idsOf(authority.ca);
    disk.fill();
    const error = await refusal(authority, { passphrase: PASSPHRASE });
    assert.match(error.message, /^the key in \S+\.pem could not be encrypted, and its file is unchanged: ENOSPC/);
    assertForm(authority.dir, CLEAR);
    disk.free();
    assert.deepEqual(idsOf(await authority.restart({ passphrase: PASSPHRASE })), ids);
    assertForm(authority.dir, ENCRYPTED);
  });

  it('a key that cannot be written replaces nothing: the authority before goes on', async (t) => {
    for (const passphrase of [undefined, PASSPHRASE]) {
      const { disk, authority } = await open(t, { passphrase });
      const { dir, ca } = authority;
      const [before, list] = [filesIn(dir), ca.authorities()];
      // One page more each time: no key, a key without the states, and so on.
      let failures = 0;
      for (let pages = 0; ; pages += 1) {
        disk.fill(pages * 4096);
        const isRotated = await Promise.all((['root', 'intermediate'] as const).map((role) => ca.rotate(role))).then(
          () => true,
          (error: SidekeyError) => assert.equal(error.code, 'ERR_CA') ?? false,
        );
        const { authorityId } = await ca.issue(request());
        if (isRotated) break;
        failures += 1;
        assert.equal(authorityId, list[1]!.id);
        assert.deepEqual(ca.authorities().slice(0, 1), list.slice(0, 1));
        for (const [name, text] of before) assert.equal(readFileSync(path.join(dir, name), 'utf8'), text);
        assert.deepEqual(
          readdirSync(dir).filter((name) => name.endsWith('.new')),
          [],
        );
      }
      assert.ok(failures >= 2, `${failures} failures`);
      disk.free();
      const again = await authority.restart();
      for (const id of list.map(({ id }) => id)) assert.ok(idsOf(again).includes(id));
      await again.issue(request());
      rmSync(path.join(disk.directory, 'ballast'), { force: true });
    }
  });
});
