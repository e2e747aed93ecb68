import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readPassphraseFile } from '../../src/base/passphrase-file.ts';
import { tempDir } from '../support/temp-dir.ts';

test('a passphrase is one line of visible ASCII, long enough that nobody guesses it', (t) => {
  const file = path.join(tempDir(t), 'passphrase');
  const read = (content: string) => {
    writeFileSync(file, content, { mode: 0o600 });
    return readPassphraseFile(file);
  };
  const letters = 'correct horse battery staple';
  for (const good of [letters, 'x'.repeat(20), 'y'.repeat(1000), ` ${letters} `]) {
    assert.equal(read(good), good);
    assert.equal(read(`${good}\n`), good);
  }
  for (const [content, problem] of [
    ['', /has only 0 characters/],
    ['\n', /has only 0 characters/],
    ['x'.repeat(19), /has only 19 characters/],
    ['x'.repeat(1001), /has 1001 characters/],
    [`${letters}\n\n`, /several lines/],
    [`${letters}\r\n`, /a carriage return/],
    [`${letters}\nsecond line of it`, /several lines/],
    [`${letters}\0`, /other characters/],
    ['geheimer Schlüssel für alles', /other characters/],
  ] as const) {
    assert.throws(
      () => read(content),
      ({ message }: Error) => {
        assert.match(message, problem);
        assert.ok(!message.includes(letters));
        return true;
      },
    );
  }
});

test('a passphrase that others can read or replace is refused', (t) => {
  const directory = tempDir(t);
  const file = path.join(directory, 'passphrase');
  writeFileSync(file, 'correct horse battery staple\n');
  chmodSync(file, 0o640);
  assert.throws(
    () => readPassphraseFile(file),
    /is open to others, who may have read it \(mode 0640\): write a new passph/,
  );
  chmodSync(file, 0o400);
  readPassphraseFile(file);
  chmodSync(directory, 0o777);
  assert.throws(() => readPassphraseFile(file), /can be written by everybody/);
  chmodSync(directory, 0o700);
  mkdirSync(path.join(directory, 'folder'));
  assert.throws(() => readPassphraseFile(path.join(directory, 'folder')), /is not a regular file/);
  assert.throws(() => readPassphraseFile(path.join(directory, 'none')), /ENOENT/);
});
