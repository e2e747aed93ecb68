import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readInputFile, readRegularFile } from '../../src/base/input-file.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

test('a regular file is read up to the limit', async (t) => {
  const file = path.join(tempDir(t), 'file');
  writeFileSync(file, 'x'.repeat(200_000));
  assert.equal((await readInputFile(file, 200_000)).length, 200_000);
  assert.equal(readRegularFile(file, 200_000).length, 200_000);
  const says = /^Error: it has 200000 bytes; at most 199999 bytes are read$/;
  await assert.rejects(readInputFile(file, 199_999), says);
  assert.throws(() => readRegularFile(file, 199_999), says);
});

test('a file whose size the kernel does not tell is read up to the limit too', async () => {
  assert.match((await readInputFile('/proc/self/status', 10_000)).toString(), /^Name:/);
  await assert.rejects(readInputFile('/proc/self/status', 10), /it has more; at most 10 bytes are read/);
});

test('other files are refused at once, with their type', { timeout: 30_000 }, async (t) => {
  const directory = tempDir(t);
  const fifo = path.join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  mkdirSync(path.join(directory, 'sub'));
  for (const [file, type] of [
    [fifo, 'a FIFO'],
    [path.join(directory, 'sub'), 'a directory'],
    ['/dev/zero', 'a device'],
  ] as const) {
    const says = new RegExp(`^Error: it is ${type}, not a regular file$`);
    await assert.rejects(readInputFile(file, 10), says);
    assert.throws(() => readRegularFile(file, 10), says);
  }
  await assert.rejects(readInputFile(path.join(directory, 'missing'), 10), /ENOENT/);
});

test('a pipe is read if it is a descriptor of the process: <(command)', () => {
  const module = JSON.stringify(path.join(ROOT, 'src/base/input-file.ts'));
  const script = `
    import { readInputFile } from ${module};
    console.log(await readInputFile(process.argv[1], 70_000).then(({ length }) => length, ({ message }) => message));`;
  const args = ['--input-type=module-typescript', '-e', script, '/dev/stdin'];
  // Node's own pipes are sockets, which cannot be opened by name.
  const read = (writer: string) =>
    spawnSync('sh', ['-c', `(${writer}) | "$0" "$@"`, process.execPath, ...args], { encoding: 'utf8' }).stdout;
  assert.equal(read('sleep 0.2; head -c 70000 /dev/zero'), '70000\n');
  assert.equal(read('head -c 70001 /dev/zero'), 'it has more; at most 70000 bytes are read\n');
});
