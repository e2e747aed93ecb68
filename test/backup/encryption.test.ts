import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { decrypt, encrypt, isIdentity, isRecipient } from '../../src/backup/encryption.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pieces } from './support.ts';

const TEXT = Buffer.alloc(200_000, 'sidekey ');
const PASSPHRASE = 'correct horse battery staple';
const age = spawnSync('age', ['--version']);
const noAge = age.error === undefined ? false : 'there is no age here (Debian: apt-get install age)';

describe('encryption', { concurrency: 2 }, () => {
  it('to a recipient is undone by its identity, and by no other', async () => {
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    const encrypted = await buffer(await encrypt(pieces(TEXT), { recipients: [recipient] }));
    assert.deepEqual(await buffer(await decrypt(pieces(encrypted), { identities: [identity] })), TEXT);
    const other = await generateX25519Identity();
    await assert.rejects(decrypt(pieces(encrypted), { identities: [other] }), /no identity matched/);
  });

  it('with a passphrase is undone by it, and by no other', async () => {
    const encrypted = await buffer(await encrypt(pieces(TEXT), { passphrase: PASSPHRASE }));
    assert.deepEqual(await buffer(await decrypt(pieces(encrypted), { passphrase: PASSPHRASE })), TEXT);
    await assert.rejects(decrypt(pieces(encrypted), { passphrase: `${PASSPHRASE}.` }), /no identity matched/);
  });

  it('refuses changed, missing and added bytes', async () => {
    const identity = await generateX25519Identity();
    const encrypted = await buffer(await encrypt(pieces(TEXT), { recipients: [await identityToRecipient(identity)] }));
    const open = async (bytes: Buffer) => buffer(await decrypt(pieces(bytes), { identities: [identity] }));
    for (let at = 0; at < encrypted.length; at += 4_001) {
      const changed = Buffer.from(encrypted);
      changed[at]! ^= 1;
      await assert.rejects(open(changed), `byte ${at}`);
      await assert.rejects(open(encrypted.subarray(0, at)), `${at} bytes`);
    }
    await assert.rejects(open(Buffer.concat([encrypted, Buffer.alloc(1)])));
  });

  it('does not read a header without an end', async () => {
    let read = 0;
    const endless = async function* () {
      yield Buffer.from('age-encryption.org/v1\n-> X25519 ');
      for (; ; read += 65_536) yield Buffer.alloc(65_536, 'a');
    };
    await assert.rejects(decrypt(endless(), { passphrase: PASSPHRASE }), /header does not end/);
    assert.ok(read < 1024 * 1024);
    await assert.rejects(decrypt(pieces(Buffer.from('age')), { passphrase: PASSPHRASE }), /header is not complete/);
  });

  it('knows recipients and identities from other words', async () => {
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    assert.deepEqual([await isRecipient(recipient), await isIdentity(identity)], [true, true]);
    for (const word of ['', 'age1', identity, `${recipient}q`, 'ssh-ed25519 AAAA', recipient.toUpperCase()]) {
      assert.equal(await isRecipient(word), false, word);
    }
    assert.equal(await isIdentity(recipient), false);
  });

  it('goes both ways with age itself', { skip: noAge }, async (t) => {
    const dir = tempDir(t);
    const [keyFile, file] = [path.join(dir, 'key'), path.join(dir, 'file.age')];
    assert.equal(spawnSync('age-keygen', ['-o', keyFile]).status, 0);
    const recipient = spawnSync('age-keygen', ['-y', keyFile], { encoding: 'utf8' }).stdout.trim();
    writeFileSync(file, await buffer(await encrypt(pieces(TEXT), { recipients: [recipient] })));
    assert.deepEqual(spawnSync('age', ['-d', '-i', keyFile, file]).stdout, TEXT);
    const made = spawnSync('age', ['-r', recipient], { input: TEXT });
    const identity = /^AGE-SECRET-KEY-.*$/m.exec(spawnSync('cat', [keyFile], { encoding: 'utf8' }).stdout)![0];
    assert.deepEqual(await buffer(await decrypt(pieces(made.stdout), { identities: [identity] })), TEXT);
  });
});
