import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { adminToken, readAdminTokenFile } from '../../src/admin/token.ts';
import { NOBODY, whyNotNobody } from '../support/child.ts';
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

  test('is refused when others may have read it, and to be made anew', async (t) => {
    const directory = tempDir(t);
    await adminToken(directory);
    chmodSync(path.join(directory, 'admin.token'), 0o640);
    const message =
      /admin\.token: it is open to others, who may have read it \(mode 0640\): move the file away; the next start/;
    await assert.rejects(adminToken(directory), { code: 'ERR_DATA_DIR', message });
  });

  test('is not read through a symbolic link', async (t) => {
    const directory = tempDir(t);
    symlinkSync('nowhere', path.join(directory, 'admin.token'));
    await assert.rejects(adminToken(directory), { code: 'ERR_DATA_DIR' });
    assert.deepEqual(readdirSync(directory), ['admin.token']);
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
    assert.ok(error.message.startsWith(`${file}: it contains no token; it must contain one token of 16 to 1024`));
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

  test('is refused when others may have read or written it', async (t) => {
    const file = write(t, 'sixteen-letters!');
    for (const [mode, problem] of [
      [0o640, /is open to others, who may have read it \(mode 0640\): write a new token to a new file of mode 0600/],
      [0o604, /is open to others/],
      [0o620, /can be written by others, so it may be theirs/],
    ] as const) {
      chmodSync(file, mode);
      await assert.rejects(readAdminTokenFile(file), { code: 'ERR_CONFIG', message: problem });
    }
  });

  test('is refused where a directory above it is open to others, and through a link', async (t) => {
    const file = write(t, 'sixteen-letters!');
    const link = path.join(tempDir(t), 'link');
    symlinkSync(file, link);
    assert.equal(await readAdminTokenFile(link), 'sixteen-letters!');
    chmodSync(path.dirname(file), 0o770);
    for (const place of [file, link]) {
      await assert.rejects(readAdminTokenFile(place), {
        code: 'ERR_CONFIG',
        message:
          /mode 0770\) can be written by its group.*put it below a directory that only root or uid \d+ can write/,
      });
    }
  });

  test('is refused when it belongs to somebody else', { skip: whyNotNobody() ?? false }, async (t) => {
    const file = write(t, 'sixteen-letters!');
    chownSync(file, NOBODY, NOBODY);
    await assert.rejects(readAdminTokenFile(file), {
      code: 'ERR_CONFIG',
      message: /it belongs to uid 65534, which is/,
    });
  });

  test('is not waited for where it is a FIFO', async (t) => {
    const file = path.join(tempDir(t), 'fifo');
    execFileSync('mkfifo', [file]);
    await assert.rejects(readAdminTokenFile(file), { code: 'ERR_CONFIG', message: /is not a regular file/ });
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
