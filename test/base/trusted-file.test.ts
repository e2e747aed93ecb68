import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readTrustedFile, whoCanChange } from '../../src/base/trusted-file.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const remedy = 'write another one';

test('a descriptor of the process is read unchecked: a pipe from <(command)', () => {
  const module = JSON.stringify(path.join(ROOT, 'src/base/trusted-file.ts'));
  const script = `
    import { readTrustedFile, whoCanChange } from ${module};
    const { length } = whoCanChange(process.argv[1]);
    console.log(await readTrustedFile(process.argv[1], { closed: true, remedy: '' }), length);`;
  for (const file of ['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']) {
    const args = ['--input-type=module-typescript', '-e', script, file];
    // Node's own pipes are sockets, which cannot be opened by name.
    const command = `printf secret | "$0" "$@"`;
    const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, ...args], { encoding: 'utf8' });
    assert.equal(stdout, 'secret 0\n', stderr);
  }
});

test('a file that others can read is refused only if it must be closed', async (t) => {
  const file = path.join(tempDir(t), 'token');
  writeFileSync(file, 'secret');
  chmodSync(file, 0o644);
  assert.equal(await readTrustedFile(file, { closed: false, remedy }), 'secret');
  await assert.rejects(() => readTrustedFile(file, { closed: true, remedy }), /mode 0644\): write another one$/);
  chmodSync(file, 0o620);
  await assert.rejects(
    () => readTrustedFile(file, { closed: false, remedy }),
    /can be written by others.*\(mode 0620\)/,
  );
  assert.deepEqual(
    whoCanChange(file).map(({ place, kind }) => [place, kind]),
    [[file, 'writable']],
  );
});

test('a missing file, a directory and a dangling link are reported', async (t) => {
  const directory = tempDir(t);
  const read = (name: string) => readTrustedFile(path.join(directory, name), { closed: true, remedy });
  symlinkSync('nowhere', path.join(directory, 'link'));
  await assert.rejects(() => read('missing'), /ENOENT: there is no such file/);
  await assert.rejects(() => read('link'), /ENOENT: there is no such file/);
  await assert.rejects(() => read('.'), /is not a regular file/);
  assert.deepEqual(whoCanChange(path.join(directory, 'missing')), []);
});
