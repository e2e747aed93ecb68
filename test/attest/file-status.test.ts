import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { areSameFile, fileIdentity, fileStatus } from '../../src/attest/libc.ts';
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

test('a file is the same by every name, and differs from any other by each part of its identity', (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, '');
  fs.linkSync(file, `${file} too`);
  const identity = fileIdentity(file);
  const { dev, ino } = fs.statSync(file, { bigint: true });
  assert.equal((BigInt(identity.inodeAbove) << 32n) + BigInt(identity.inode), ino);
  assert.equal(BigInt(((identity.minor >>> 8) << 20) + (identity.major << 8) + (identity.minor & 0xff)), dev);
  assert.ok(areSameFile(fileIdentity(`${file} too`), identity));
  for (const part of ['major', 'minor', 'inode', 'inodeAbove'] as const) {
    assert.ok(!areSameFile(identity, { ...identity, [part]: identity[part] + 1 }), part);
  }
});

test('what only memory holds is on no block device', () => {
  assert.equal(fileStatus('/proc/self/status').onBlockDevice, false);
  assert.equal(fileStatus('/dev/shm').onBlockDevice, false);
});

test('a file that is not there is told by its code', () => {
  assert.throws(() => fileStatus('/proc/self/none'), { code: 'ENOENT' });
});
