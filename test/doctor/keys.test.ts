import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { judgeKeys } from '../../src/doctor/keys.ts';
import { tempDir } from '../support/temp-dir.ts';

test('doctor finds a passphrase that is gone, open to others, or not needed any more', (t) => {
  const file = path.join(tempDir(t), 'passphrase');
  const rules = (setting = '--key-passphrase-file') => {
    const { findings, skipped } = judgeKeys([{ setting, path: file }], process.getuid!());
    assert.deepEqual(skipped, []);
    return findings.map(({ rule, severity }) => `${rule} ${severity}`);
  };
  assert.deepEqual(rules(), ['passphrase-missing error']);
  writeFileSync(file, 'correct horse battery staple', { mode: 0o600 });
  assert.deepEqual(rules(), []);
  assert.deepEqual(rules('--old-key-passphrase-file'), ['old-passphrase info']);
  chmodSync(file, 0o604);
  assert.deepEqual(rules(), ['passphrase-open error']);
  chmodSync(file, 0o600);
  chmodSync(path.dirname(file), 0o777);
  assert.deepEqual(rules(), ['passphrase-open error']);
  assert.deepEqual(judgeKeys([], 0), { findings: [], skipped: [] });
});
