import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { adminToken, readAdminTokenFile } from '../../src/admin/token.ts';
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

  test('is told by its own name when it holds none', async (t) => {
    const directory = tempDir(t);
    const file = path.join(directory, 'admin.token');
    writeFileSync(file, '', { mode: 0o600 });
    const error = await adminToken(directory).then(assert.fail, (thrown: Error & { code?: string }) => thrown);
    assert.equal(error.code, 'ERR_DATA_DIR');
    assert.ok(error.message.startsWith(`${file}: there is no token in it; it must hold one token of 16 to 1024`));
    assert.doesNotMatch(error.message, /--admin-token-file/);
  });
});

describe('the token of --admin-token-file', () => {
  const write = (t: Parameters<typeof tempDir>[0], content: string): string => {
    const file = path.join(tempDir(t), 'token');
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };

  test('is read as it stands there, without the line break', async (t) => {
    assert.equal(await readAdminTokenFile(write(t, 'sixteen-letters!\n')), 'sixteen-letters!');
  });

  test('is refused when others may read it, with the command that mends it', async (t) => {
    const file = write(t, 'sixteen-letters!');
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(file, mode);
      await assert.rejects(readAdminTokenFile(file), { code: 'ERR_CONFIG', message: new RegExp(`chmod 600 ${file}`) });
    }
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
      const error = await readAdminTokenFile(file).then(assert.fail, (thrown: Error) => thrown);
      assert.equal((error as Error & { code: string }).code, 'ERR_CONFIG');
      assert.match(error.message, /--admin-token-file.*16 to 1024/);
      if (content !== '') assert.ok(!error.message.includes(content));
    });
  }

  test('is refused when the file is not there', async (t) => {
    const file = path.join(tempDir(t), 'missing');
    await assert.rejects(readAdminTokenFile(file), {
      code: 'ERR_CONFIG',
      message: /missing.*ENOENT|ENOENT.*missing/,
    });
  });
});
