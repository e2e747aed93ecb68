/** Generations of files on real file systems: what readers see, and what a failure leaves in place. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Generations, type WrittenFile } from '../../src/svid-files/generation.ts';
import type { FilesPlan } from '../../src/svid-files/plan.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';

const asRoot = { skip: process.geteuid!() === 0 ? false : 'only root can make files of other users' };
const NOBODY = 65_534;

function make(t: TestContext, directory: string, more: Partial<FilesPlan> = {}): Generations {
  const generations = new Generations({ directory, allowShared: false, choice: {}, jwts: [], ...more });
  t.after(() => generations.close());
  return generations;
}

function pair(round: string): WrittenFile[] {
  return [
    { name: 'svid.pem', mode: 0o644, content: `certificate ${round}` },
    { name: 'key.pem', mode: 0o600, content: `key ${round}` },
  ];
}

const read = (directory: string, name: string) => readFileSync(path.join(directory, name), 'utf8');
const folders = (directory: string) => readdirSync(directory).filter((name) => name.startsWith('.generation-'));

describe('generations', () => {
  it('are folders behind one link; the former one is removed', (t) => {
    const directory = path.join(tempDir(t), 'made', 'for-it');
    const generations = make(t, directory);
    assert.equal(generations.write(pair('1')), true);
    const first = readlinkSync(path.join(directory, '.current'));
    assert.equal(generations.write(pair('2')), true);
    assert.deepEqual([read(directory, 'svid.pem'), read(directory, 'key.pem')], ['certificate 2', 'key 2']);
    assert.equal(readlinkSync(path.join(directory, 'key.pem')), '.current/key.pem');
    assert.deepEqual(folders(directory), [readlinkSync(path.join(directory, '.current'))]);
    assert.notEqual(folders(directory)[0], first);
  });

  it('have exactly the modes of the plan, whatever the umask', (t) => {
    const directory = tempDir(t);
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const modes = [0o444, 0o640, 0o600, 0o755];
    make(t, directory).write(modes.map((mode) => ({ name: `f${mode}`, mode, content: 'x' })));
    for (const mode of modes) assert.equal(statSync(path.join(directory, `f${mode}`)).mode & 0o7777, mode);
    assert.equal(statSync(path.join(directory, '.current/')).mode & 0o7777, 0o755);
  });

  it('give files to their owner', asRoot, (t) => {
    const directory = tempDir(t);
    make(t, directory, { owner: { uid: NOBODY, gid: NOBODY } }).write(pair('1'));
    const { uid, gid, mode } = statSync(path.join(directory, 'key.pem'));
    assert.deepEqual([uid, gid, mode & 0o7777], [NOBODY, NOBODY, 0o600]);
  });

  it('are not written again for the same files, unless somebody changed them', (t) => {
    const directory = tempDir(t);
    const generations = make(t, directory);
    generations.write(pair('1'));
    assert.equal(generations.write(pair('1')), false);
    assert.ok(generations.isIntact());
    chmodSync(path.join(directory, 'key.pem'), 0o666);
    assert.ok(!generations.isIntact());
    assert.equal(generations.write(pair('1')), true);
    assert.equal(statSync(path.join(directory, 'key.pem')).mode & 0o777, 0o600);
  });

  it('replace regular files of the same names, as those of spiffe-helper', (t) => {
    const directory = tempDir(t);
    writeFileSync(path.join(directory, 'key.pem'), 'an old key', { mode: 0o644 });
    writeFileSync(path.join(directory, 'other.pem'), 'not ours');
    make(t, directory).write(pair('1'));
    assert.equal(read(directory, 'key.pem'), 'key 1');
    assert.equal(read(directory, 'other.pem'), 'not ours');
  });

  it('leave no link to a file that is no longer written', (t) => {
    const directory = tempDir(t);
    const generations = make(t, directory);
    generations.write([...pair('1'), { name: 'db.jwt', mode: 0o600, content: 'token' }]);
    generations.write(pair('2'));
    assert.deepEqual(
      readdirSync(directory)
        .filter((name) => !name.startsWith('.'))
        .sort(),
      ['key.pem', 'svid.pem'],
    );
  });

  it('carry over what has not come yet, and remove what a killed process left', (t) => {
    const directory = tempDir(t);
    const before = make(t, directory);
    before.write([...pair('1'), { name: 'db.jwt', mode: 0o600, content: 'token' }]);
    before.close();
    mkdirSync(path.join(directory, '.generation-0123456789abcdef'));
    make(t, directory).write(pair('2'), [{ name: 'db.jwt', mode: 0o600 }]);
    assert.deepEqual([read(directory, 'svid.pem'), read(directory, 'db.jwt')], ['certificate 2', 'token']);
    assert.equal(folders(directory).length, 1);
  });

  it('do not carry over what another user has put in the place of a file', asRoot, (t) => {
    const directory = tempDir(t);
    const owner = { uid: NOBODY, gid: NOBODY };
    const before = make(t, directory, { owner });
    before.write([...pair('1'), { name: 'db.jwt', mode: 0o600, content: 'token' }]);
    before.close();
    const secret = path.join(directory, 'of-root');
    writeFileSync(secret, 'secret', { mode: 0o600 });
    rmSync(path.join(directory, '.current', 'db.jwt'));
    linkSync(secret, path.join(directory, '.current', 'db.jwt'));
    make(t, directory, { owner }).write(pair('2'), [{ name: 'db.jwt', mode: 0o600 }]);
    assert.equal(read(directory, 'key.pem'), 'key 2');
    assert.ok(!existsSync(path.join(directory, 'db.jwt')));
  });

  it('follow the path to another directory that took its place', (t) => {
    const parent = tempDir(t);
    const directory = path.join(parent, 'certs');
    const generations = make(t, directory);
    generations.write(pair('1'));
    spawnSync('mv', [directory, path.join(parent, 'aside')]);
    assert.ok(!generations.isIntact());
    generations.write(pair('2'));
    assert.equal(read(directory, 'key.pem'), 'key 2');
    assert.equal(read(path.join(parent, 'aside'), 'key.pem'), 'key 1');
  });

  it('show a reader of the current folder a certificate and a key that belong together', async (t) => {
    const directory = tempDir(t);
    const generations = make(t, directory);
    generations.write(pair('0'));
    for (let round = 1; round <= 50; round += 1) {
      const folder = openSync(path.join(directory, '.current/'), 'r');
      const [certificate] = [readFileSync(`/proc/self/fd/${folder}/svid.pem`, 'utf8')];
      const key = readFileSync(`/proc/self/fd/${folder}/key.pem`, 'utf8');
      closeSync(folder);
      assert.equal(certificate.split(' ')[1], key.split(' ')[1]);
      generations.write(pair(String(round)));
    }
  });
});

describe('a directory that cannot be used', () => {
  function refused(t: TestContext, directory: string, message: RegExp, more: Partial<FilesPlan> = {}): void {
    assert.throws(() => make(t, directory, more).write(pair('1')), { code: 'ERR_FILES', message });
  }

  it('is a symbolic link, a file, or has something else under a name', (t) => {
    const parent = tempDir(t);
    const real = path.join(parent, 'real');
    mkdirSync(real);
    symlinkSync(real, path.join(parent, 'link'));
    refused(t, path.join(parent, 'link'), /link: it is a symbolic link to .*real; give the directory itself$/);
    writeFileSync(path.join(parent, 'file'), '');
    refused(t, path.join(parent, 'file'), /file: it is not a directory$/);
    const target = path.join(parent, 'target');
    writeFileSync(target, 'of somebody else');
    symlinkSync(target, path.join(real, 'key.pem'));
    refused(t, real, /key\.pem in it is a symbolic link to .*target; remove it, or give the file another name$/);
    assert.equal(readFileSync(target, 'utf8'), 'of somebody else');
    assert.deepEqual(folders(real), []);
    mkdirSync(path.join(parent, 'other', 'svid.pem'), { recursive: true });
    refused(t, path.join(parent, 'other'), /svid\.pem in it is neither a file nor a link; remove it$/);
  });

  it('can be written by others, except if that is allowed', (t) => {
    const directory = tempDir(t);
    chmodSync(directory, 0o777);
    refused(t, directory, /\(mode 0777\) can be written by everybody, .*chmod go-w it$/);
    const allowed = make(t, directory, { allowShared: true });
    assert.match(allowed.check()!, /can be written by everybody/);
    allowed.write(pair('1'));
    assert.equal(read(directory, 'key.pem'), 'key 1');
  });

  it('belongs to another user, unless the files are that user’s', asRoot, (t) => {
    const directory = tempDir(t);
    chownSync(directory, NOBODY, NOBODY);
    refused(t, directory, /it belongs to uid 65534; it must belong to root, uid 0, or the user of --owner$/);
    make(t, directory, { owner: { uid: NOBODY, gid: NOBODY } }).write(pair('1'));
    assert.equal(lstatSync(path.join(directory, '.current')).isSymbolicLink(), true);
  });

  it('is reached through a directory of the owner, who could lead it elsewhere', asRoot, (t) => {
    const parent = tempDir(t);
    chmodSync(parent, 0o755);
    const home = path.join(parent, 'home');
    mkdirSync(path.join(home, 'certs'), { recursive: true });
    chownSync(home, NOBODY, NOBODY);
    const owner = { uid: NOBODY, gid: NOBODY };
    refused(t, path.join(home, 'certs'), /it belongs to uid 0, but it is reached through directories of uid 65534$/, {
      owner,
    });
    chownSync(path.join(home, 'certs'), NOBODY, NOBODY);
    make(t, path.join(home, 'certs'), { owner }).write(pair('1'));
  });

  it('is in use by another process', (t) => {
    const directory = tempDir(t);
    make(t, directory).write(pair('1'));
    refused(t, directory, /another sidekey keeps its files here; give each a directory of its own$/);
  });

  it('has a planted lock', asRoot, (t) => {
    const directory = tempDir(t);
    writeFileSync(path.join(directory, '.sidekey.lock'), '');
    chownSync(path.join(directory, '.sidekey.lock'), NOBODY, NOBODY);
    refused(t, directory, /\.sidekey\.lock in it is not a file of this user; remove it$/);
  });

  it('has a lock that is another name of a file, or leads to one', (t) => {
    const [directory, elsewhere] = [tempDir(t), path.join(tempDir(t), 'lock')];
    writeFileSync(elsewhere, '');
    const lock = path.join(directory, '.sidekey.lock');
    linkSync(elsewhere, lock);
    refused(t, directory, /\.sidekey\.lock in it is not a file of this user; remove it$/);
    rmSync(lock);
    symlinkSync(elsewhere, lock);
    refused(t, directory, /\.sidekey\.lock in it is not a file of this user; remove it$/);
  });

  it('is on a full disk: the former files stay, and the next write works', { skip: whyNoSmallDisk() ?? false }, (t) => {
    const disk = makeSmallDisk(t, 256);
    const generations = make(t, disk.directory);
    generations.write(pair('1'));
    disk.fill();
    assert.throws(() => generations.write(pair('2')), {
      code: 'ERR_FILES',
      message: /the disk is full; free some space/,
    });
    assert.ok(generations.isIntact());
    assert.deepEqual([read(disk.directory, 'svid.pem'), read(disk.directory, 'key.pem')], ['certificate 1', 'key 1']);
    disk.free();
    generations.write(pair('2'));
    assert.equal(read(disk.directory, 'key.pem'), 'key 2');
    assert.equal(folders(disk.directory).length, 1);
  });

  it('is read-only: the former files stay', { skip: whyNoSmallDisk() ?? false }, (t) => {
    const { directory } = makeSmallDisk(t, 256);
    const generations = make(t, directory);
    generations.write(pair('1'));
    assert.equal(spawnSync('mount', ['-o', 'remount,ro', directory]).status, 0);
    assert.throws(() => generations.write(pair('2')), { code: 'ERR_FILES', message: /the file system is read-only/ });
    assert.deepEqual([read(directory, 'svid.pem'), read(directory, 'key.pem')], ['certificate 1', 'key 1']);
  });
});
