import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import { openDataDir } from '../../src/server/data-dir.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { tempDir } from '../support/temp-dir.ts';

const notNobody = whyNotNobody() ?? false;

/** Opens the directory in another process and keeps it; the first line is `open` or the error code. */
function openElsewhere(directory: string): string {
  return `
    import { openDataDir } from 'src/server/data-dir.ts';
    try {
      openDataDir(${JSON.stringify(directory)});
      console.log('open');
      setInterval(() => {}, 60_000);
    } catch (error) {
      console.log(error.code, error.message.replaceAll('\\n', ' |'));
    }`;
}

test('a missing directory is created with its parents, without access for others', (t) => {
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

test('all files that others could read are reported at once, with a command that closes them', (t) => {
  const directory = path.join(tempDir(t), "it's");
  mkdirSync(path.join(directory, 'keys'), { recursive: true });
  const files = ['sidekey.db', 'sidekey.db-wal', 'keys/root.pem', 'admin.token', 'closed'];
  for (const name of files) writeFileSync(path.join(directory, name), '');
  const modes = { '': 0o755, keys: 0o710, 'sidekey.db': 0o644, 'sidekey.db-wal': 0o640 };
  const more = { 'keys/root.pem': 0o604, 'admin.token': 0o601, closed: 0o600 };
  for (const [name, mode] of Object.entries({ ...modes, ...more })) chmodSync(path.join(directory, name), mode);

  const message = refusalOf(directory);
  const quoted = (name: string) => `'${path.join(directory, name).replace("'", "'\\''")}'`;
  const wide = ['admin.token', 'keys', 'keys/root.pem', 'sidekey.db', 'sidekey.db-wal'];
  const [first, command, ...rest] = message.split('\n');
  assert.match(
    first!,
    /^the data directory .* is not closed to others; if others could reach these files, they may have/,
  );
  assert.deepEqual(command!.split(/ (?=')/).sort(), [
    '  chmod go-rwx',
    `'${directory.replace("'", "'\\''")}'`,
    ...wide.map(quoted),
  ]);
  assert.deepEqual(rest, []);

  execFileSync('sh', ['-ec', command!]);
  openDataDir(directory).release();
});

/** Every way in which another user may have created or changed something in the data directory. */
const SUSPECT: readonly [string, RegExp, (directory: string, t: TestContext) => void][] = [
  [
    'a key that others could write',
    /ca\/root-1\.pem: others can write it \(mode 0660\)/,
    (d) => chmodSync(keyIn(d), 0o660),
  ],
  [
    'a database that others could write',
    /sidekey\.db: others can write it \(mode 0602\)/,
    (d) => writeFileSync(path.join(d, 'sidekey.db'), '') ?? chmodSync(path.join(d, 'sidekey.db'), 0o602),
  ],
  [
    'a directory in which others could write',
    /\/ca: others can write in it \(mode 0770\), and it is not empty/,
    (d) => chmodSync(path.join(d, 'ca'), 0o770),
  ],
  [
    'a symbolic link',
    /ca\/root-2\.pem: it is a symbolic link/,
    (d) => symlinkSync('root-1.pem', path.join(d, 'ca/root-2.pem')),
  ],
  [
    'a symbolic link to a directory',
    /\/more: it is a symbolic link/,
    (d, t) => symlinkSync(tempDir(t), path.join(d, 'more')),
  ],
  ['a dangling link', /sidekey\.db: it is a symbolic link/, (d) => symlinkSync('/nowhere', path.join(d, 'sidekey.db'))],
  ['a hard link', /ca\/root-1\.pem: it has 2 hard links/, (d, t) => linkSync(keyIn(d), path.join(tempDir(t), 'other'))],
  [
    'a FIFO',
    /\/fifo: it is neither a file, a directory nor a socket/,
    (d) => void execFileSync('mkfifo', ['-m', '600', path.join(d, 'fifo')]),
  ],
];

function keyIn(directory: string): string {
  return path.join(directory, 'ca/root-1.pem');
}

function refusalOf(directory: string): string {
  try {
    openDataDir(directory).release();
  } catch (thrown) {
    assert.equal((thrown as SidekeyError).code, 'ERR_DATA_DIR');
    return (thrown as SidekeyError).message;
  }
  return assert.fail('it was opened');
}

for (const [what, problem, plant] of SUSPECT) {
  test(`${what} is refused, and no command would make it trusted`, (t) => {
    const directory = path.join(tempDir(t), 'data');
    mkdirSync(path.join(directory, 'ca'), { recursive: true, mode: 0o700 });
    writeFileSync(keyIn(directory), '', { mode: 0o600 });
    openDataDir(directory).release();
    plant(directory, t);
    const message = refusalOf(directory);
    assert.match(message, problem);
    assert.match(message, /move it away and restore it from a backup/);
    assert.doesNotMatch(message, /chmod|chown/);
  });
}

test('an open directory of this user is closed if nobody else could put or read anything there', (t) => {
  const directory = path.join(tempDir(t), 'data');
  const modeOf = () => statSync(directory).mode & 0o7777;
  mkdirSync(directory);
  for (const mode of [0o755, 0o775, 0o777, 0o2770]) {
    chmodSync(directory, mode);
    const opened = openDataDir(directory);
    assert.equal(opened.closedFrom, mode);
    assert.equal(modeOf() & 0o777, 0o700);
    opened.release();
    chmodSync(directory, 0o700);
    // With the lock in it, others could have written something; with 0755 they could not.
    chmodSync(directory, mode);
    if ((mode & 0o022) === 0) {
      openDataDir(directory).release();
      assert.equal(modeOf(), 0o700);
    } else {
      assert.match(refusalOf(directory), /others can write in it .*, and it is not empty/);
      assert.equal(modeOf(), mode);
    }
    chmodSync(directory, 0o700);
    rmSync(path.join(directory, 'lock'));
  }
  const closed = openDataDir(directory);
  assert.equal(closed.closedFrom, undefined);
  closed.release();
});

test('an open directory with an open file stays as it is, and the advice fits a directory whose mode comes back', (t) => {
  const directory = path.join(tempDir(t), 'data');
  openDataDir(directory).release();
  chmodSync(directory, 0o755);
  chmodSync(path.join(directory, 'lock'), 0o644);
  const message = refusalOf(directory);
  assert.match(
    message,
    new RegExp(`StateDirectoryMode=0700, or give --data-dir a new folder below it, such as ${directory}/data;`),
  );
  assert.equal(statSync(directory).mode & 0o777, 0o755);
  openDataDir(path.join(directory, 'data')).release();
});

test('the socket of a server is allowed', (t) => {
  const directory = path.join(tempDir(t), 'data');
  mkdirSync(directory, { mode: 0o700 });
  const listen = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  spawnSync(process.execPath, ['-e', `process.umask(0o177); ${listen}`, path.join(directory, 'admin.sock')]);
  assert.ok(statSync(path.join(directory, 'admin.sock')).isSocket());
  openDataDir(directory).release();
});

test('a symbolic link is resolved once, at start', (t) => {
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
  assert.throws(() => openDataDir(file), {
    code: 'ERR_DATA_DIR',
    message: `${file}: something that is not a directory is in the way`,
  });
});

test('a second server on the directory is refused until the first one is killed', async (t) => {
  const directory = path.join(tempDir(t), 'data');
  const first = runChild(t, openElsewhere(directory));
  assert.equal(await first.firstLine, 'open');
  assert.throws(() => openDataDir(directory), {
    code: 'ERR_DATA_DIR_IN_USE',
    message: `another Sidekey, process ${first.process.pid}, serves ${directory}; stop it, or give this server a directory of its own (--data-dir)`,
  });
  await first.kill();
  const dataDir = openDataDir(directory);
  assert.match(await runChild(t, openElsewhere(directory)).firstLine, /^ERR_DATA_DIR_IN_USE /);
  dataDir.release();
  assert.equal(await runChild(t, openElsewhere(directory)).firstLine, 'open');
});

test('releasing twice does not close a descriptor opened meanwhile', (t) => {
  const directory = path.join(tempDir(t), 'data');
  const first = openDataDir(directory);
  first.release();
  const second = openDataDir(directory);
  first.release();
  assert.throws(() => openDataDir(directory), { code: 'ERR_DATA_DIR_IN_USE' });
  second.release();
});

test('a child process of the server does not keep the lock', async (t) => {
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

test("another user's key is refused, and the printed remedy does not make it trusted", { skip: notNobody }, (t) => {
  const directory = path.join(tempDir(t), 'data');
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(path.join(directory, 'sidekey.db'), '', { mode: 0o644 });
  chownSync(path.join(directory, 'sidekey.db'), NOBODY, NOBODY);
  const message = refusalOf(directory);
  assert.match(message, /\n {2}\/.*\/sidekey\.db: it belongs to uid 65534, not to uid 0, who runs Sidekey$/);
  assert.match(message, /move it away and restore it from a backup/);
  assert.doesNotMatch(message, /chown|chmod/);
  chownSync(directory, NOBODY, NOBODY);
  assert.equal(
    refusalOf(directory),
    `the data directory ${directory} cannot be trusted: it belongs to uid ${NOBODY}, not to uid 0, who runs Sidekey; ` +
      'only the user of Sidekey may own it and write in it: start Sidekey as the user who owns it, or give --data-dir a new directory',
  );
});

test('a directory below one of another user is refused, and nothing is created there', { skip: notNobody }, (t) => {
  const home = tempDir(t);
  const data = path.join(home, 'stranger', 'data');
  mkdirSync(data, { recursive: true });
  chmodSync(data, 0o700);
  openDataDir(data).release();
  chownSync(path.dirname(data), NOBODY, NOBODY);
  for (const place of [data, path.join(home, 'stranger', 'new', 'data')]) {
    const message = refusalOf(place);
    assert.match(message, /\/stranger \(uid 65534, mode 0755\) belongs to another user/);
    assert.match(message, /put it below a directory that only root or uid 0 can write$/);
  }
  assert.deepEqual(readdirSync(path.join(home, 'stranger')), ['data']);
  // A link from a trusted place does not help, nor does one that another user could change.
  symlinkSync(data, path.join(home, 'link'));
  assert.match(refusalOf(path.join(home, 'link')), /\/stranger \(uid 65534/);
  const good = path.join(home, 'good');
  mkdirSync(good, { mode: 0o700 });
  symlinkSync(good, path.join(home, 'stranger', 'link'));
  assert.match(refusalOf(path.join(home, 'stranger', 'link')), /\/stranger \(uid 65534/);
  symlinkSync('good', path.join(home, 'trusted-link'));
  openDataDir(path.join(home, 'trusted-link')).release();
});

test('a user without privileges opens its own directory and no other', { skip: notNobody }, async (t) => {
  const home = tempDir(t);
  chownSync(home, NOBODY, NOBODY);
  const own = path.join(home, 'own', 'data');
  assert.equal(await runChild(t, openElsewhere(own), NOBODY).firstLine, 'open');

  const foreign = path.join(home, 'foreign');
  mkdirSync(foreign, { mode: 0o755 });
  chmodSync(foreign, 0o777);
  const answer = await runChild(t, openElsewhere(foreign), NOBODY).firstLine;
  assert.match(
    answer,
    /^ERR_DATA_DIR .*: it belongs to uid 0, not to uid 65534, who runs Sidekey; only the user of Sidekey.*init container that runs as root/,
  );
  assert.equal(statSync(foreign).mode & 0o777, 0o777);
});

test('a file system without file modes is refused with that reason', { skip: whyNoVfat() ?? false }, (t) => {
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

/** Why no file system without modes is available here; undefined if one is. */
function whyNoVfat(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can mount a file system that keeps no modes';
  if (spawnSync('mkfs.vfat', ['--help']).error !== undefined) return 'mkfs.vfat (dosfstools) is not installed';
  spawnSync('modprobe', ['vfat']);
  return /\tvfat$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? undefined : 'the kernel has no vfat';
}
