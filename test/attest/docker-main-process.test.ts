/** By its start time a process is the main one of a container, or takes a look of the engine's own. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCgroup } from '../../src/attest/docker/cgroup.ts';
import { instant, isAlive, isMainProcess, pinProcess, startedWith } from '../../src/attest/docker/main-process.ts';
import { openDescriptors } from '../support/pipe.ts';

const STARTED_AT = Date.parse('2026-11-29T12:00:00Z');

/** @param late how long after `StartedAt` the process seems to have begun @param age of the process; both in milliseconds */
function judge(late: number, age: number, ticks = 1e9): boolean {
  return startedWith(STARTED_AT, ticks - age / 10, { ticks, wall: STARTED_AT + late + age });
}

test('a start that fits is taken at once, one that nearly does from ten seconds on, a later one never', () => {
  const hour = 3_600_000;
  const table: readonly [late: number, age: number, taken: boolean, why: string][] = [
    [-300, 400, true, 'Docker before 25 and Podman note the time when it runs'],
    [-10_000, 10_000, true, 'on a machine that is busy'],
    [20, 30, true, 'ticks are rounded'],
    [30, 40, false, 'Docker 25 notes the time before it makes the process; or another one has the pid'],
    [900, 9_990, false, 'the engine may not have noticed yet'],
    [900, 10_000, true, 'it would have noticed'],
    [1_010, hour, false, 'another one, or a clock that was set ahead'],
    [hour, hour, false, 'the same by an hour'],
    [-hour, 1_000, false, 'the clock was set back, and it is young'],
    [-hour, hour, true, 'the clock was set back'],
  ];
  for (const [late, age, taken, why] of table)
    assert.equal(judge(late, age), taken, `${late} ms late, ${age} ms old: ${why}`);
});

test('a young process in a cgroup that a user may have made takes a look of the engine, however well its start fits', () => {
  const id = 'a'.repeat(64);
  const table: readonly [path: string, age: number, taken: boolean][] = [
    [`/docker/${id}`, 400, true],
    [`/system.slice/docker-${id}.scope`, 400, true],
    [`/machine.slice/libpod-${id}.scope/container`, 400, true],
    [`/../docker-${id}.scope`, 400, true],
    ['/', 400, true],
    [`/user.slice/user-1000.slice/user@1000.service/${id}`, 400, false],
    [`/system.slice/ci.service/docker/${id}`, 400, false],
    [`/system.slice/ci.service/docker-${id}.scope`, 9_990, false],
    [`/../ci.service/${id}`, 400, false],
    [`/docker/x\\n/docker/${id}`, 400, false],
    [`/system.slice/ci.service/docker-${id}.scope`, 10_000, true],
  ];
  for (const [path, age, taken] of table) {
    const process = { pid: 7, startTicks: 1e9 - age / 10, place: parseCgroup(`0::${path}\n`) };
    const now = { ticks: 1e9, wall: STARTED_AT - 300 + age };
    assert.equal(isMainProcess(process, STARTED_AT, now), taken, `${path}, ${age} ms old`);
  }
});

test('no process that began more than a second after the container is taken, and all that began just before', () => {
  const age = fc.integer({ min: 0, max: 1e9 }).map((ticks) => ticks * 10);
  fc.assert(fc.property(fc.integer({ min: 1_001, max: 1e10 }), age, (late, old) => !judge(late, old)));
  fc.assert(fc.property(fc.integer({ min: -10_000, max: 20 }), age, (late, old) => judge(late, old)));
});

test('of two processes with a pid, one after the other, only the first began with a container that both outlived', () => {
  const step = fc.integer({ min: 1_020, max: 1e8 });
  fc.assert(
    fc.property(step, step, (between, since) => {
      const now = { ticks: 1e9, wall: STARTED_AT + between + since };
      return !startedWith(STARTED_AT, Math.floor(1e9 - since / 10), now);
    }),
  );
});

test('a process is pinned with its start and its cgroups, and once it has ended it is none', async () => {
  const before = openDescriptors();
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  const pinned = pinProcess(child.pid!)!;
  assert.ok(startedWith(Date.now(), pinned.startTicks, instant()));
  assert.equal(pinned.hasEnded(), false);
  assert.ok(isAlive(pinned));
  assert.ok(!isAlive({ ...pinned, startTicks: pinned.startTicks + 1 }));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(pinned.hasEnded(), true);
  assert.ok(!isAlive(pinned));
  pinned.close();
  assert.equal(pinProcess(child.pid!), undefined);
  assert.equal(openDescriptors(), before);
});
