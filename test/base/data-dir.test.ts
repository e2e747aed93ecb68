import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openDataDir } from '../../src/base/data-dir.ts';
import type { SidekeyError } from '../../src/base/errors.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { tempDir } from '../support/temp-dir.ts';

const notNobody = whyNotNobody() ?? false;

/** Takes the directory in another process and keeps it; the first line is `open` or the code of the error. */
function openElsewhere(directory: string): string {
  return `
    import { openDataDir } from 'src/base/data-dir.ts';
    try {
      openDataDir(${JSON.stringify(directory)});
      console.log('open');
      setInterval(() => {}, 60_000);
    } catch (error) {
      console.log(error.code, error.message.replaceAll('\\n', ' |'));
    }`;
}

test('a missing directory is made with its parents, closed to others', (t) => {
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  const parent = path.join(tempDir(t), 'state');
  const dataDir = openDataDir(path.join(parent, 'sidekey'));
  t.after(() => dataDir.release());
  assert.equal(dataDir.path, path.join(parent, 'sidekey'));
  assert.equal(statSync(parent).mode & 0o777, 0o700);
  assert.equal(statSync(dataDir.path).mode & 0o777, 0o700);
  for (const name of readdirSync(dataDir.path)) {
    assert.equal(statSync(path.join(dataDir.path, name)).mode & 0o777, 0o600, name);
  }
});

test('everything that is open to others is told at once, with commands that mend it', (t) => {
  const directory = path.join(tempDir(t), "it's");
  mkdirSync(path.join(directory, 'keys'), { recursive: true });
  const files = ['sidekey.db', 'sidekey.db-wal', 'sidekey.db-shm', 'keys/root.pem', 'admin.token', 'closed'];
  for (const name of files) writeFileSync(path.join(directory, name), '');
  const modes = { '': 0o755, keys: 0o710, 'sidekey.db': 0o644, 'sidekey.db-wal': 0o640, 'sidekey.db-shm': 0o620 };
  const more = { 'keys/root.pem': 0o604, 'admin.token': 0o601, closed: 0o600 };
  for (const [name, mode] of Object.entries({ ...modes, ...more })) chmodSync(path.join(directory, name), mode);

  let message = '';
  assert.throws(
    () => openDataDir(directory),
    (error: SidekeyError) => {
      message = error.message;
      return error.code === 'ERR_DATA_DIR';
    },
  );
  const quoted = (name: string) => `'${path.join(directory, name).replace("'", "'\\''")}'`;
  const wide = ['admin.token', 'keys/root.pem', 'sidekey.db', 'sidekey.db-shm', 'sidekey.db-wal'];
  const [first, ...commands] = message.split('\n');
  assert.equal(first, `the data directory ${directory} is not closed to others; mend it with:`);
  assert.equal(commands[0], `  chmod 700 ${quoted('')} ${quoted('keys')}`);
  assert.deepEqual(commands[1]!.split(/ (?=')/).sort(), ['  chmod 600', ...wide.map(quoted)].sort());
  assert.equal(commands.length, 2);

  execFileSync('sh', ['-ec', commands.join('\n')]);
  openDataDir(directory).release();
});

test('a symbolic link is followed once, at start', (t) => {
  const directory = tempDir(t);
  mkdirSync(path.join(directory, 'real'), { mode: 0o700 });
  symlinkSync('real', path.join(directory, 'link'));
  const dataDir = openDataDir(path.join(directory, 'link'));
  t.after(() => dataDir.release());
  assert.equal(dataDir.path, path.join(directory, 'real'));
  assert.throws(() => openDataDir(path.join(directory, 'real')), { code: 'ERR_DATA_DIR_IN_USE' });
});

test('a file where the directory should be is refused', (t) => {
  const file = path.join(tempDir(t), 'file');
  writeFileSync(file, '');
  assert.throws(() => openDataDir(file), { code: 'ERR_DATA_DIR', message: new RegExp(`^${file}: EEXIST`) });
});

test('a second server on the directory is refused, until the first one is killed', async (t) => {
  const directory = path.join(tempDir(t), 'data');
  const first = runChild(t, openElsewhere(directory));
  assert.equal(await first.firstLine, 'open');
  assert.throws(() => openDataDir(directory), {
    code: 'ERR_DATA_DIR_IN_USE',
    message: `another sidekey serves ${directory}; \`fuser ${directory}/lock\` says which process`,
  });
  await first.kill();
  const dataDir = openDataDir(directory);
  assert.match(await runChild(t, openElsewhere(directory)).firstLine, /^ERR_DATA_DIR_IN_USE /);
  dataDir.release();
  assert.equal(await runChild(t, openElsewhere(directory)).firstLine, 'open');
});

test('releasing twice does not close what is open by then', (t) => {
  const directory = path.join(tempDir(t), 'data');
  const first = openDataDir(directory);
  first.release();
  const second = openDataDir(directory);
  first.release();
  assert.throws(() => openDataDir(directory), { code: 'ERR_DATA_DIR_IN_USE' });
  second.release();
});

test('a child of the server does not keep the lock', async (t) => {
  const directory = path.join(tempDir(t), 'data');
  const dataDir = openDataDir(directory);
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  t.after(() => child.kill());
  await once(child, 'spawn');
  dataDir.release();
  openDataDir(directory).release();
  child.stdin.end();
  await once(child, 'close');
});

test("somebody else's directory or file is refused with the command that mends it", { skip: notNobody }, (t) => {
  const directory = path.join(tempDir(t), 'data');
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(path.join(directory, 'sidekey.db'), '', { mode: 0o644 });
  chownSync(path.join(directory, 'sidekey.db'), NOBODY, NOBODY);
  assert.throws(() => openDataDir(directory), {
    code: 'ERR_DATA_DIR',
    message:
      `the data directory ${directory} is not closed to others; mend it with:\n` +
      `  chown 0 ${directory}/sidekey.db\n  chmod 600 ${directory}/sidekey.db`,
  });
  chownSync(directory, NOBODY, NOBODY);
  assert.throws(() => openDataDir(directory), { message: new RegExp(`\\n  chown 0 ${directory}$`) });
});

test('a user without rights opens a directory of its own, and no other', { skip: notNobody }, async (t) => {
  const home = tempDir(t);
  chownSync(home, NOBODY, NOBODY);
  const own = path.join(home, 'own', 'data');
  assert.equal(await runChild(t, openElsewhere(own), NOBODY).firstLine, 'open');

  const foreign = path.join(home, 'foreign');
  mkdirSync(foreign, { mode: 0o755 });
  const answer = await runChild(t, openElsewhere(foreign), NOBODY).firstLine;
  assert.equal(
    answer,
    `ERR_DATA_DIR the data directory ${foreign} is not closed to others; mend it with: |` +
      `  chown ${NOBODY} ${foreign} |  chmod 700 ${foreign}`,
  );
});

test('a file system that keeps no modes is refused, and named as the reason', { skip: whyNoVfat() ?? false }, (t) => {
  const { image, directory } = makeVfat(tempDir(t));
  t.after(() => spawnSync('umount', [directory]));
  assert.equal(spawnSync('mount', ['-o', 'loop,umask=022', image, directory]).status, 0);
  assert.throws(() => openDataDir(path.join(directory, 'data')), {
    code: 'ERR_DATA_DIR',
    message: /does not keep file modes.*put the data directory on one that does/,
  });
});

function makeVfat(place: string): { image: string; directory: string } {
  const image = path.join(place, 'image');
  const directory = path.join(place, 'vfat');
  mkdirSync(directory);
  execFileSync('mkfs.vfat', ['-C', image, '1024'], { stdio: 'ignore' });
  return { image, directory };
}

/** Why no file system without modes can be had here; undefined where one can. */
function whyNoVfat(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can mount a file system that keeps no modes';
  if (spawnSync('mkfs.vfat', ['--help']).error !== undefined) return 'mkfs.vfat (dosfstools) is not installed';
  spawnSync('modprobe', ['vfat']);
  return /\tvfat$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? undefined : 'the kernel has no vfat';
}
