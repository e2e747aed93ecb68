import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { writeFileAtomic } from '../../src/base/files.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';

test('a file is written whole and with its mode, whatever the umask', (t) => {
  const file = path.join(tempDir(t), 'key');
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  writeFileAtomic(file, 'one');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  process.umask(0o777);
  writeFileAtomic(file, Buffer.from('two'), 0o644);
  assert.equal(readFileSync(file, 'utf8'), 'two');
  assert.equal(statSync(file).mode & 0o777, 0o644);
  assert.deepEqual(readdirSync(path.dirname(file)), ['key']);
});

test('a failed write leaves no file behind', (t) => {
  const file = path.join(tempDir(t), 'key');
  mkdirSync(file);
  assert.throws(() => writeFileAtomic(file, 'one'), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(path.dirname(file)), ['key']);
});

test('a draft left by a crash or planted by another user is not written to', (t) => {
  const directory = tempDir(t);
  const other = path.join(directory, 'other');
  writeFileSync(other, 'theirs');
  symlinkSync(other, path.join(directory, 'key.new'));
  writeFileAtomic(path.join(directory, 'key'), 'ours');
  assert.equal(readFileSync(other, 'utf8'), 'theirs');
  assert.ok(lstatSync(path.join(directory, 'key')).isFile());
});

test('on a full disk the old content stays, and no draft is left', { skip: whyNoSmallDisk() ?? false }, (t) => {
  const disk = makeSmallDisk(t, 64);
  const file = path.join(disk.directory, 'key');
  writeFileAtomic(file, 'old');
  disk.fill();
  assert.throws(() => writeFileAtomic(file, 'new'), { code: 'ENOSPC' });
  disk.fill(4096);
  assert.throws(() => writeFileAtomic(file, 'new'.repeat(4096)), { code: 'ENOSPC' });
  disk.free();
  assert.equal(readFileSync(file, 'utf8'), 'old');
  assert.deepEqual(readdirSync(disk.directory), ['key']);
});
