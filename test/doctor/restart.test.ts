/** What starts a server anew, read off a process; the command itself is run in table.test.ts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ProcessView, restartCommand, viewProcess } from '../../src/doctor/restart.ts';

const words = (...all: readonly string[]) => all.map((one) => `${one}\0`).join('');
const VIEW: ProcessView = {
  cmdline: words('/opt/node', '/opt/sidekey.cjs', 'serve', '--trust-domain', 'a.example', '--socket', '/run/a b.sock'),
  environ: words('PATH=/bin', 'HOME=/root'),
  cgroup: '0::/user.slice/user-0.slice/session-1.scope\n',
  stat: '42 (node (1)) S 41 42 41 34816 42 0\n',
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
    const cgroup = '0::/system.slice/sidekey@web.service\n';
    const stat = '42 (node) S 1 42 42 0 -1 0\n';
    assert.equal(command({ cgroup, stat, uid: 4_000_000 }), 'systemctl restart sidekey@web.service');
    assert.equal(command({ cgroup, stat }, '--max-streams-per-uid', '2'), undefined);
  });

  it('is none where it would start another server, or one as somebody else', () => {
    assert.equal(command({ environ: words('SIDEKEY_DATA_DIR=/data') }), undefined);
    assert.equal(command({ uid: 4_000_000 }), undefined);
    assert.equal(command({ cmdline: words('/bin/sleep', '10') }), undefined);
    const cgroup = '0::/system.slice/cron.service\n';
    assert.equal(command({ cgroup }), undefined, 'a unit that is not for it: one of its programs has started it');
    assert.equal(command({ cgroup, stat: '42 (node) S 1 41 41 0 -1 0\n' }), undefined, 'and is over');
    assert.equal(restartCommand(1, VIEW), undefined, 'the first process of a container');
  });

  it('looks at a process that is there', () => {
    const { uid, cwd, cmdline } = viewProcess(process.pid)!;
    assert.deepEqual([uid, cwd], [process.geteuid!(), process.cwd()]);
    assert.ok(cmdline.startsWith(words(process.argv0)) || cmdline.includes('node'));
    assert.equal(viewProcess(4_194_303), undefined);
  });
});
