import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { adminToken } from '../../src/admin/token.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('the token in the data directory', () => {
  test('is made at the first start, for its owner alone, and stays', async (t) => {
    const directory = tempDir(t);
    const token = await adminToken(directory);
    assert.match(token, /^[\w-]{43}$/, '32 bytes, base64url');
    assert.deepEqual(readdirSync(directory), ['admin.token']);
    const file = path.join(directory, 'admin.token');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(readFileSync(file, 'utf8'), `${token}\n`);
    assert.equal(await adminToken(directory), token);
    assert.notEqual(await adminToken(tempDir(t)), token);
  });

  test('is for its owner alone whatever the umask', async (t) => {
    const umask = process.umask(0);
    try {
      const directory = tempDir(t);
      await adminToken(directory);
      assert.equal(statSync(path.join(directory, 'admin.token')).mode & 0o777, 0o600);
    } finally {
      process.umask(umask);
    }
  });

  test('is refused when others may read it, with the command that mends it', async (t) => {
    const directory = tempDir(t);
    await adminToken(directory);
    const file = path.join(directory, 'admin.token');
    chmodSync(file, 0o640);
    await assert.rejects(adminToken(directory), { code: 'ERR_DATA_DIR', message: new RegExp(`chmod 600 ${file}`) });
  });

  test('fails clearly where it can not be made', async (t) => {
    const directory = path.join(tempDir(t), 'missing');
    await assert.rejects(adminToken(directory), { code: 'ERR_DATA_DIR', message: /admin\.token.*ENOENT/ });
  });
});

describe('the token of --admin-token-file', () => {
  const write = (t: Parameters<typeof tempDir>[0], content: string): string => {
    const file = path.join(tempDir(t), 'token');
    writeFileSync(file, content);
    return file;
  };

  test('is read as it stands there, without the line break', async (t) => {
    const directory = tempDir(t);
    assert.equal(await adminToken(directory, write(t, 'sixteen-letters!\n')), 'sixteen-letters!');
    assert.deepEqual(readdirSync(directory), [], 'none is made in the data directory');
  });

  for (const [what, content] of [
    ['nothing', ''],
    ['fifteen characters', 'fifteen-letters'],
    ['two words', 'sixteen letters and more'],
    ['two lines', 'sixteen-letters!\nsixteen-letters!\n'],
    ['a letter beyond ASCII', 'sixteen-lettérs!'],
    ['1,025 characters', 'x'.repeat(1_025)],
  ] as const) {
    test(`is refused when the file holds ${what}, and not told`, async (t) => {
      const file = write(t, content);
      const error = await adminToken(tempDir(t), file).then(assert.fail, (thrown: Error) => thrown);
      assert.equal((error as Error & { code: string }).code, 'ERR_CONFIG');
      assert.match(error.message, /--admin-token-file.*16 to 1024/);
      if (content !== '') assert.ok(!error.message.includes(content));
    });
  }

  test('is refused when the file is not there', async (t) => {
    const file = path.join(tempDir(t), 'missing');
    await assert.rejects(adminToken(tempDir(t), file), {
      code: 'ERR_CONFIG',
      message: /missing.*ENOENT|ENOENT.*missing/,
    });
  });
});
