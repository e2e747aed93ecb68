import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemdAttestor } from '../../src/attest/systemd/attestor.ts';
import type { Attestor } from '../../src/attest/types.ts';
import { endAfter } from '../support/caller.ts';
import { makeUnitCgroup, whyNoCgroup } from '../support/cgroup.ts';

const skip = whyNoCgroup() ?? false;
const ID = 'ef'.repeat(32);

function sleeper(t: TestContext): number {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return child.pid!;
}

const caller = (pid: number) => ({ pid, uid: 0, gid: 0, groups: [] });

async function unitsOf(attestor: Attestor, pid: number): Promise<string[]> {
  const selectors = await attestor.attest(caller(pid));
  assert.ok(selectors.every(({ type }) => type === 'systemd'));
  return selectors.map(({ value }) => value);
}

const systemd = () => createSystemdAttestor({ wantUnit: () => true });

test('a process has the unit that its cgroup is of, wherever in it it is', { skip }, async (t) => {
  const pid = sleeper(t);
  assert.deepEqual(await unitsOf(systemd(), pid), []);
  const unit = makeUnitCgroup(t, 'web.service');
  unit.join(pid);
  assert.deepEqual(await unitsOf(systemd(), pid), ['id:web.service']);
  const below = path.join(unit.folder, 'app.slice', 'evil.service');
  fs.mkdirSync(below, { recursive: true });
  fs.writeFileSync(path.join(below, 'cgroup.procs'), String(pid));
  assert.deepEqual(await unitsOf(systemd(), pid), ['id:web.service']);
  unit.leave(pid);
  assert.deepEqual(await unitsOf(systemd(), pid), []);
});

for (const name of [`web.service/${ID}`, `docker-${ID}.scope`, 'x/web.service', 'web.timer']) {
  test(`a process in ${name} has no unit`, { skip }, async (t) => {
    const pid = sleeper(t);
    makeUnitCgroup(t, name).join(pid);
    assert.deepEqual(await unitsOf(systemd(), pid), []);
  });
}

test('while no entry asks for a unit nothing is read, but for a person', { skip }, async (t) => {
  let wanted = false;
  const attestor = createSystemdAttestor({ wantUnit: () => wanted });
  const gone = 2 ** 22;
  assert.deepEqual(await attestor.attest(caller(gone)), []);
  const pid = sleeper(t);
  makeUnitCgroup(t, 'web.service').join(pid);
  assert.deepEqual(await attestor.attest(caller(pid), true), [{ type: 'systemd', value: 'id:web.service' }]);
  wanted = true;
  await assert.rejects(attestor.attest(caller(gone)), { code: 'ENOENT' });
});

test('where units can not be known nobody has one, and a person who wants one is told why', { skip }, async (t) => {
  const pid = sleeper(t);
  makeUnitCgroup(t, 'web.service').join(pid);
  let wanted = false;
  const attestor = createSystemdAttestor({ wantUnit: () => wanted, blind: 'it is dark' });
  const remarks: string[] = [];
  assert.deepEqual(await attestor.attest(caller(pid), true, (remark) => remarks.push(remark)), []);
  assert.equal(remarks.length, 0);
  wanted = true;
  assert.deepEqual(await attestor.attest(caller(pid), true, (remark) => remarks.push(remark)), []);
  assert.deepEqual(remarks, ['it is dark']);
  assert.equal(attestor.whyNever!('id:web.service', []), 'it is dark');
});

test('a host without systemd has no units', () => {
  const why = (hasUnits: () => boolean) =>
    createSystemdAttestor({ wantUnit: () => true, blind: undefined, hasUnits }).whyNever!('id:web.service', []);
  if (skip === false)
    assert.equal(
      why(() => true),
      undefined,
    );
  assert.match(why(() => false)!, /systemd does not run on this host|cgroup/);
});
