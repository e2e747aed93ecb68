/** Callers are pinned as on a kernel without SO_PEERPIDFD: by their pids. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { bootTicks } from '../../src/attest/libc.ts';
import { readStat } from '../../src/attest/proc/stat.ts';
import { openPeerPidfdByPid } from '../../src/attest/socket-peer.ts';
import { startCaller } from '../support/caller.ts';
import { startPipe, whenGone } from '../support/pipe.ts';

const PROGRAM = path.join(import.meta.dirname, '../support/pid-by-another-program.ts');
const INSIDE = ['-p', '-f', '--mount-proc', '--kill-child'];

test('a caller is attested, verified and gone as on any kernel', async (t) => {
  const pipe = await startPipe(t, { pinByPid: true });
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  assert.equal(peer.credentials.pid, caller.pid);
  await peer.attest();
  peer.verify();
  const gone = whenGone(peer);
  caller.tellLast('exit');
  await gone;
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_GONE' });
});

test('a process that began in the hundredth of a second of the accept can not be told from a later one', async (t) => {
  const pipe = await startPipe(t, { pinByPid: true });
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { socket } = await pipe.next();
  const { startTicks } = readStat(caller.pid);
  for (const accepted of [startTicks - 1, startTicks]) {
    assert.throws(() => openPeerPidfdByPid(socket, accepted), {
      code: 'ERR_PEER_CHANGED',
      message: `process ${caller.pid} did not start before its connection was accepted: the pid may have been reused`,
    });
  }
  fs.closeSync(openPeerPidfdByPid(socket, startTicks + 1)!);
});

test('by the clock of the kernel a process began before now', () => {
  const { startTicks } = readStat(process.pid);
  const age = (bootTicks() - startTicks) / 100;
  assert.ok(Math.abs(age - process.uptime()) < 1, `${age} s`);
});

test('a pid that another user has by the time of the accept is refused, with one line in the log and no stack', (t) => {
  const probe = 'echo 4000 > /proc/sys/kernel/ns_last_pid';
  if (process.getuid!() !== 0 || spawnSync('unshare', [...INSIDE, 'sh', '-c', probe]).status !== 0) {
    return t.skip('no pid namespace whose next pid could be set can be made here: that takes root and unshare(1)');
  }
  const { stdout, stderr } = spawnSync('unshare', [...INSIDE, process.execPath, PROGRAM], { encoding: 'utf8' });
  const found = JSON.parse(stdout || '{}') as Record<string, unknown>;
  assert.equal(found.again, found.pid, stderr);
  assert.deepEqual(found.accepted, [found.last], 'only who came last, from a process that lives');
  assert.deepEqual(found.lines, [
    {
      level: 40,
      code: 'ERR_PEER_CHANGED',
      reason: `process ${found.pid} has another user or group than the caller: the pid may have been reused`,
      closed: 1,
      msg: 'the calling process cannot be identified: connection closed',
    },
  ]);
});
