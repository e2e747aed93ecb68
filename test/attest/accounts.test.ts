import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createAccounts, parseNames } from '../../src/attest/accounts.ts';
import { tempDir } from '../support/temp-dir.ts';

test('the first name of an id counts, and lines that are no accounts are passed over', () => {
  const names = parseNames(
    [
      '# users',
      'root:x:0:0::/root:/bin/sh',
      'toor:x:0:0::/:/bin/sh',
      '+nis::::::',
      '-x:x:5:5',
      '',
      'a:x',
      'b:x:-1:0',
      'web:x:1000:1000',
    ].join('\n'),
  );
  assert.deepEqual(
    [...names],
    [
      [0, 'root'],
      [1000, 'web'],
    ],
  );
});

test('names are read again when a file changes, and are gone when it is', async (t) => {
  const directory = tempDir(t);
  const passwd = path.join(directory, 'passwd');
  const group = path.join(directory, 'group');
  fs.writeFileSync(passwd, 'web:x:1000:1000::/:/bin/sh\n');
  fs.writeFileSync(group, 'www:x:1000:\n');
  const accounts = createAccounts(passwd, group);
  assert.equal(accounts.user(1000), 'web');
  assert.equal(accounts.group(1000), 'www');
  assert.equal(accounts.user(1001), undefined);

  // As useradd does it: a new file takes the old one's name.
  fs.writeFileSync(`${passwd}.new`, 'api:x:1000:1000::/:/bin/sh\n');
  fs.renameSync(`${passwd}.new`, passwd);
  await nextTurn();
  assert.equal(accounts.user(1000), 'api');

  fs.rmSync(passwd);
  await nextTurn();
  assert.equal(accounts.user(1000), undefined);
  assert.equal(accounts.group(1000), 'www');
});

test('a machine without the files has no names', (t) => {
  const accounts = createAccounts(path.join(tempDir(t), 'none'), path.join(tempDir(t), 'none'));
  assert.equal(accounts.user(0), undefined);
  assert.equal(accounts.group(0), undefined);
});

test('the revision rises with every change of a file, whoever comes upon it', async (t) => {
  const directory = tempDir(t);
  const [passwd, group] = [path.join(directory, 'passwd'), path.join(directory, 'group')];
  fs.writeFileSync(passwd, 'web:x:1000:1000::/:/bin/sh\n');
  fs.writeFileSync(group, 'www:x:1000:\n');
  const accounts = createAccounts(passwd, group);
  let last = accounts.revision();
  await nextTurn();
  assert.equal(accounts.revision(), last, 'nothing has changed');
  const changes: (readonly [string, () => void])[] = [
    ['in place', () => fs.appendFileSync(passwd, 'api:x:1001:1001::/:/bin/sh\n')],
    [
      'by another file',
      () => {
        fs.writeFileSync(`${group}.new`, 'xxx:x:1000:\n');
        fs.renameSync(`${group}.new`, group);
      },
    ],
    ['gone', () => fs.rmSync(passwd)],
    ['there again', () => fs.writeFileSync(passwd, 'web:x:1000:1000::/:/bin/sh\n')],
  ];
  for (const [how, change] of changes) {
    change();
    await nextTurn();
    // An attestation comes upon it first.
    accounts.user(1000);
    const revision = accounts.revision();
    assert.ok(revision > last, how);
    last = revision;
  }
});
