import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { areSameFile } from '../../src/attest/libc.ts';
import {
  parseExecutablePath,
  parseStatus,
  readExecutableIdentity,
  readExecutablePath,
  readStatus,
} from '../../src/attest/proc.ts';
import { startCaller } from '../support/caller.ts';
import { tempDir } from '../support/temp-dir.ts';

/** As the kernel wrote them (6.18). */
function captured(name: string): string {
  return fs.readFileSync(new URL(`fixtures/proc/${name}`, import.meta.url), 'latin1');
}

test('status gives the ids and the groups, whatever the name is', () => {
  assert.deepEqual(parseStatus(captured('odd-name.status')), { uid: 0, gid: 0, groups: [4, 27, 1000] });
});

test('of four ids the effective one counts', () => {
  assert.deepEqual(parseStatus(captured('other-effective-ids.status')), { uid: 1000, gid: 1001, groups: [] });
});

test('a status without ids or groups is refused', () => {
  assert.throws(() => parseStatus('Name:\tnode\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n'), /no Groups/);
  assert.throws(() => parseStatus('Name:\tnode\nGid:\t0\t0\t0\t0\nGroups:\t\n'), /no Uid/);
  assert.throws(() => parseStatus('Uid:\t0\t0\t0\t0\nGroups:\t\n'), /no Gid/);
});

test('an executable path is taken as it is, or not at all', () => {
  const path = (link: string | Buffer) => parseExecutablePath(Buffer.from(link as string));
  assert.equal(path('/usr/bin/envoy'), '/usr/bin/envoy');
  assert.equal(path('/opt/a b/(deleted) /ä\nb'), '/opt/a b/(deleted) /ä\nb');
  assert.equal(path('/usr/bin/envoy (deleted)'), undefined);
  assert.equal(path('/memfd:envoy (deleted)'), undefined);
  assert.equal(path('socket:[1]'), undefined);
  assert.equal(path(Buffer.from([0x2f, 0xff, 0xfe])), undefined);
});

test('of the own process everything can be read', () => {
  assert.equal(readStatus(process.pid).uid, process.geteuid!());
  assert.equal(readStatus(process.pid).gid, process.getegid!());
  assert.equal(readExecutablePath(process.pid), fs.realpathSync(process.execPath));
});

test('the file that a process runs is told from every other, whatever its name', (t) => {
  const identityOf = (program: string) => {
    const child = spawn(program, ['60']);
    t.after(() => child.kill());
    return readExecutableIdentity(child.pid!);
  };
  const directory = tempDir(t);
  for (const name of ['a', 'b']) fs.copyFileSync('/bin/sleep', path.join(directory, name));
  fs.linkSync(path.join(directory, 'a'), path.join(directory, 'a too'));
  const a = identityOf(path.join(directory, 'a'));
  assert.deepEqual(identityOf(path.join(directory, 'a')), a);
  assert.deepEqual(identityOf(path.join(directory, 'a too')), a);
  assert.ok(!areSameFile(identityOf(path.join(directory, 'b')), a));
});

test('a pid that no process has is told as such', () => {
  for (const read of [readStatus, readExecutablePath, readExecutableIdentity]) {
    assert.throws(() => read(0x7fff_fff0), { code: 'ENOENT' });
  }
});

test('a process in thousands of groups is read whole', {
  skip: process.getuid!() === 0 ? false : 'only root can choose its groups',
}, async (t) => {
  const groups = Array.from({ length: 5_000 }, (_, at) => 100_000 + at);
  const caller = startCaller(t);
  await caller.tell('setgroups', groups);
  assert.deepEqual(readStatus(caller.pid), { uid: 0, gid: process.getgid!(), groups });
});
