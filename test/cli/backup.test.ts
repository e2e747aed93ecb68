/** What `sidekey backup` and `sidekey restore` refuse before they ask a server or read a backup. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);

interface Files {
  readonly dir: string;
  readonly recipients: string;
  readonly open: string;
  readonly identities: string;
  readonly passphrase: string;
  readonly short: string;
  readonly empty: string;
}

function files(t: TestContext): Files {
  const dir = tempDir(t);
  const write = (name: string, text: string) => {
    const file = path.join(dir, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const open = write('open', `${recipient}\n`);
  chmodSync(open, 0o666);
  return {
    dir,
    open,
    recipients: write('recipients', `# ours\n\n${recipient}\n`),
    identities: write('identities', `${identity}\n`),
    passphrase: write('passphrase', 'correct horse battery staple\n'),
    short: write('short', 'secret\n'),
    empty: write('empty', '# nothing\n'),
  };
}

type Case = readonly [what: string, args: (given: Files) => readonly string[], message: RegExp];

const REFUSED: readonly Case[] = [
  [
    'recipients and a passphrase',
    (f) => ['backup', 'FILE', '--recipient', recipient, '--passphrase-file', f.passphrase],
    /give either recipients/,
  ],
  ['a recipient and --plain', () => ['backup', 'FILE', '--recipient', recipient, '--plain'], /give either recipients/],
  [
    'a word that is no recipient',
    () => ['backup', 'FILE', '--recipient', 'age1x'],
    /--recipient: this is not an age recipient/,
  ],
  ['an identity as a recipient', () => ['backup', 'FILE', '--recipient', identity], /this is not an age recipient/],
  [
    'a file of identities as recipients',
    (f) => ['backup', 'FILE', '--recipient-file', f.identities],
    /identities, line 1: this is not/,
  ],
  [
    'a file of recipients that others can write',
    (f) => ['backup', 'FILE', '--recipient-file', f.open],
    /can be written by others/,
  ],
  [
    'a file without recipients',
    (f) => ['backup', 'FILE', '--recipient-file', f.empty],
    /has no line with an age recipient/,
  ],
  ['a short passphrase', (f) => ['backup', 'FILE', '--passphrase-file', f.short], /has only 6 characters/],
  [
    'no encryption and no terminal',
    () => ['backup', 'FILE'],
    /there is no terminal to ask for a passphrase: give --recipient/,
  ],
  ['a folder in the place of the file', (f) => ['backup', f.dir, '--plain'], /exists and is not a regular file/],
  ['a folder that does not exist', (f) => ['backup', `${f.dir}/no/FILE`, '--plain'], /there is no folder/],
  ['no server', () => ['backup', 'FILE', '--recipient', recipient], /this socket does not exist/],
  ['--check and --data-dir', (f) => ['restore', 'FILE', '--check', '--data-dir', f.dir], /--check restores nothing/],
  [
    'two ways to decrypt',
    (f) => ['restore', 'FILE', '--plain', '--identity-file', f.identities],
    /give either --identity-file/,
  ],
  [
    'a recipient as an identity',
    (f) => ['restore', 'FILE', '--identity-file', f.recipients],
    /line 3: this is not an age identity/,
  ],
  ['no file', (f) => ['restore', 'FILE', '--plain', '--data-dir', `${f.dir}/data`], /no such file/],
  [
    'a short key passphrase',
    (f) => ['restore', 'FILE', '--plain', '--key-passphrase-file', f.short],
    /--key-passphrase-file: .*has only 6/,
  ],
  [
    'no encryption, to decrypt',
    () => ['restore', 'FILE', '--check'],
    /there is no terminal to ask for a passphrase: give --identity/,
  ],
  [
    'armored text',
    (f) => ['restore', `${f.dir}/armored`, '--plain', '--check'],
    /is armored text: decrypt it with age -d/,
  ],
  [
    'another file',
    (f) => ['restore', `${f.dir}/other`, '--plain', '--check'],
    /is not a backup of Sidekey, or is damaged \(ERR_BACKUP\)/,
  ],
  ['an empty file', (f) => ['restore', `${f.dir}/nothing`, '--plain', '--check'], /ends too early \(ERR_BACKUP\)/],
];

describe('sidekey backup and restore refuse', { concurrency: 2 }, () => {
  for (const [what, args, message] of REFUSED) {
    it(what, async (t) => {
      const given = files(t);
      writeFileSync(path.join(given.dir, 'armored'), '-----BEGIN AGE ENCRYPTED FILE-----\n');
      writeFileSync(path.join(given.dir, 'other'), Buffer.alloc(10_000, 'x'));
      writeFileSync(path.join(given.dir, 'nothing'), '');
      mkdirSync(path.join(given.dir, 'none'));
      const words = args(given).map((word) => (word === 'FILE' ? path.join(given.dir, 'FILE') : word));
      const env = { SIDEKEY_ADMIN_SOCKET: path.join(given.dir, 'none/admin.sock') };
      const { status, stderr, stdout } = await sidekey(words, { env });
      assert.match(stderr, message);
      assert.notEqual(status, 0);
      assert.equal(stdout, '');
      assert.ok(!stderr.includes(identity) && !stderr.includes('secret\n'), 'the message has a secret');
    });
  }
});
