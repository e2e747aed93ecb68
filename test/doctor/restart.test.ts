/** What starts a server anew, read off a process; the command itself is run in table.test.ts. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { parseCgroupLines } from '../../src/attest/proc/cgroup.ts';
import { type ProcessView, restartCommand, viewProcess } from '../../src/doctor/restart.ts';
import { endAfter } from '../support/caller.ts';
import { NOBODY } from '../support/child.ts';

const VIEW: ProcessView = {
  cmdline: ['/opt/node', '/opt/sidekey.cjs', 'serve', '--trust-domain', 'a.example', '--socket', '/run/a b.sock'],
  settingsInEnvironment: false,
  cgroup: parseCgroupLines('0::/user.slice/user-0.slice/session-1.scope\n'),
  stat: { parent: 41, session: 41 },
  cwd: '/srv/it is',
  uid: process.geteuid!(),
};
const command = (change: Partial<ProcessView>, ...flags: string[]) => restartCommand(42, { ...VIEW, ...change }, flags);

describe('the command that starts a server anew', () => {
  it('ends it, waits for its end, and has the words that it was started with, and more', () => {
    assert.equal(
      command({}, '--max-streams-per-uid', '2'),
      "kill 42; while kill -0 42 2>/dev/null; do sleep 0.1; done; cd '/srv/it is' && sidekey serve --trust-domain a.example --socket '/run/a b.sock' --max-streams-per-uid 2",
    );
  });

  it("is systemd's for a unit, which has its flags in a file", () => {
    const cgroup = parseCgroupLines('0::/system.slice/sidekey@web.service\n');
    const stat = { parent: 1, session: 42 };
    assert.equal(command({ cgroup, stat, uid: 4_000_000 }), 'systemctl restart sidekey@web.service');
    assert.equal(command({ cgroup, stat }, '--max-streams-per-uid', '2'), undefined);
  });

  it('is none where it would start another server, or one as somebody else', () => {
    assert.equal(command({ settingsInEnvironment: true }), undefined);
    assert.equal(command({ uid: 4_000_000 }), undefined);
    assert.equal(command({ cmdline: ['/bin/sleep', '10'] }), undefined);
    const cgroup = parseCgroupLines('0::/system.slice/cron.service\n');
    assert.equal(command({ cgroup }), undefined, 'a unit that is not for it: one of its programs has started it');
    assert.equal(command({ cgroup, stat: { parent: 1, session: 41 } }), undefined, 'and is over');
    assert.equal(restartCommand(1, VIEW), undefined, 'the first process of a container');
  });

  it('is not that of a unit whose name holds what systemd does not allow, or that only a name pretends', () => {
    const stat = { parent: 1, session: 42 };
    for (const name of [
      'system.slice/a b.service',
      'system.slice/a\u2028.service',
      'a\r0::/system.slice/ssh.service',
    ]) {
      assert.match(command({ cgroup: parseCgroupLines(`0::/${name}\n`), stat })!, /^kill 42;/, name);
    }
  });

  it('looks at a process that is there', () => {
    const { uid, cwd, cmdline } = viewProcess(process.pid)!;
    assert.deepEqual([uid, cwd], [process.geteuid!(), process.cwd()]);
    assert.ok(cmdline![0] === process.argv0 || cmdline![0]!.includes('node'));
    assert.equal(viewProcess(4_194_303), undefined);
    const own = viewProcess(process.pid, { directory: '/elsewhere', settings_in_environment: true })!;
    assert.deepEqual(
      [own.cwd, own.settingsInEnvironment],
      [process.cwd(), false],
      'what is seen counts, not what is told',
    );
  });

  it('reads only as much of it as a server has', async (t) => {
    const words = Array.from({ length: 12 }, () => 'x'.repeat(100_000));
    const child = spawn('/bin/sh', ['-c', 'echo; read word', 'sh', ...words], { stdio: 'pipe' });
    endAfter(t, child);
    await once(child.stdout, 'data');
    assert.equal(viewProcess(child.pid!), undefined);
  });

  it('reads no memory of a process of another user, which could keep the reader waiting', {
    skip: process.getuid!() === 0 ? false : 'only root can start processes as another user',
  }, async (t) => {
    const child = spawn('/bin/sh', ['-c', 'echo; read word'], { stdio: 'pipe', uid: NOBODY, gid: NOBODY, cwd: '/' });
    endAfter(t, child);
    await once(child.stdout, 'data');
    const { cmdline, settingsInEnvironment, uid } = viewProcess(child.pid!)!;
    assert.deepEqual([cmdline, settingsInEnvironment, uid], [undefined, undefined, NOBODY]);
  });
});
