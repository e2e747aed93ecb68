import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileStatus } from '../../src/attest/libc.ts';
import { tempDir } from '../support/temp-dir.ts';

test('the status of a file is what fs.stat says', (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, 'some bytes');
  fs.utimesSync(file, 1.5, -1.25);
  for (const name of [file, process.execPath, '/dev/null']) {
    const { dev, ino, size, mtimeNs, ctimeNs } = fs.statSync(name, { bigint: true });
    const major = execFileSync('stat', ['-L', '-c', '%Hd', name], { encoding: 'utf8' }).trim();
    const onBlockDevice = major !== '0';
    assert.deepEqual(fileStatus(name), { dev, ino, size, mtimeNs, ctimeNs, onBlockDevice }, name);
  }
});

test('what only memory holds is on no block device', () => {
  assert.equal(fileStatus('/proc/self/status').onBlockDevice, false);
  assert.equal(fileStatus('/dev/shm').onBlockDevice, false);
});

test('a file that is not there is told by its code', () => {
  assert.throws(() => fileStatus('/proc/self/none'), { code: 'ENOENT' });
});
