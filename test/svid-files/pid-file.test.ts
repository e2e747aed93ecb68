/** Signals by pid files, to real processes. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, linkSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { signalByPidFile } from '../../src/svid-files/pid-file.ts';
import { tempDir } from '../support/temp-dir.ts';

const asRoot = { skip: process.geteuid!() === 0 ? false : 'only root can have processes of other users' };
const NOBODY = 65_534;

/** A process that a signal ends. */
async function sleeper(t: TestContext, uid = process.geteuid!()): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('sleep', ['60'], { uid, stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child as ChildProcess & { readonly pid: number };
}

function pidFile(t: TestContext, text: string, { mode = 0o644, uid = process.geteuid!() } = {}): string {
  const directory = tempDir(t);
  chmodSync(directory, 0o755);
  const file = path.join(directory, 'its.pid');
  writeFileSync(file, text);
  chmodSync(file, mode);
  if (uid !== process.geteuid!()) chownSync(file, uid, uid);
  return file;
}

describe('signalByPidFile', () => {
  it('signals the process of the first line, as in postmaster.pid', async (t) => {
    const child = await sleeper(t);
    const ended = once(child, 'exit');
    assert.equal(signalByPidFile(pidFile(t, `${child.pid}\n/var/lib/data\n5432\n`), 'SIGUSR1'), child.pid);
    assert.deepEqual(await ended, [null, 'SIGUSR1']);
  });

  it('signals a process by a file of that process’s user', asRoot, async (t) => {
    const child = await sleeper(t, NOBODY);
    const ended = once(child, 'exit');
    signalByPidFile(pidFile(t, String(child.pid), { uid: NOBODY, mode: 0o600 }), 'SIGHUP');
    assert.deepEqual(await ended, [null, 'SIGHUP']);
  });

  it('refuses a file by which its owner would signal another user’s process', asRoot, async (t) => {
    const child = await sleeper(t);
    assert.throws(
      () => signalByPidFile(pidFile(t, String(child.pid), { uid: NOBODY }), 'SIGKILL'),
      /belongs to uid 65534, but process \d+ to uid 0; it must belong to the user of the process, to root, or to this user$/,
    );
    assert.equal(child.exitCode ?? child.signalCode, null);
  });

  it(
    'refuses a file by which its owner would signal a daemon of root that acts as that user now',
    asRoot,
    async (t) => {
      const child = spawn('setpriv', [`--euid=${NOBODY}`, 'sleep', '60'], { stdio: 'ignore' });
      t.after(() => child.kill('SIGKILL'));
      const uids = () => /^Uid:\t(.*)$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]!;
      await wait('its effective user', { look: async () => uids(), until: (now) => now.startsWith(`0\t${NOBODY}\t`) });
      assert.throws(
        () => signalByPidFile(pidFile(t, String(child.pid), { uid: NOBODY }), 'SIGKILL'),
        /belongs to uid 65534, but process \d+ to uid 0; /,
      );
      assert.equal(child.exitCode ?? child.signalCode, null);
    },
  );

  it('refuses root’s file for another user’s process if others could exchange that file', asRoot, async (t) => {
    const child = await sleeper(t, NOBODY);
    const file = pidFile(t, String(child.pid));
    chmodSync(path.dirname(file), 0o777);
    assert.throws(() => signalByPidFile(file, 'SIGHUP'), /can be written by everybody/);
  });

  it('refuses what others can write, links, and what is no pid', async (t) => {
    const child = await sleeper(t);
    const good = pidFile(t, String(child.pid));
    const open = pidFile(t, String(child.pid), { mode: 0o664 });
    assert.throws(() => signalByPidFile(open, 'SIGHUP'), /\(mode 0664\) can be written by others: chmod go-w it$/);
    symlinkSync(good, `${good}.link`);
    assert.throws(() => signalByPidFile(`${good}.link`, 'SIGHUP'), /is a symbolic link; give the pid file itself$/);
    for (const text of ['', '0', '-1', '1 2', 'x', '01', '99999999999', String(process.pid)]) {
      assert.throws(
        () => signalByPidFile(pidFile(t, text), 'SIGHUP'),
        /the first line is not the pid of another process$/,
        text,
      );
    }
    linkSync(good, `${good}.hard`);
    assert.throws(() => signalByPidFile(good, 'SIGHUP'), /has 2 names; a pid file has one$/);
    assert.throws(() => signalByPidFile(path.dirname(good), 'SIGHUP'), /not a regular file/);
    assert.throws(() => signalByPidFile(`${good}.absent`, 'SIGHUP'), /there is no such pid file$/);
    assert.equal(child.exitCode ?? child.signalCode, null);
  });

  it('says that a process has ended', async (t) => {
    const child = await sleeper(t);
    const file = pidFile(t, String(child.pid));
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    assert.throws(() => signalByPidFile(file, 'SIGHUP'), new RegExp(`there is no process ${child.pid}$`));
  });
});
