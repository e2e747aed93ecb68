import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { areSameFile } from '../../../src/attest/libc.ts';
import { parseExecutablePath, readExecutableIdentity, readExecutablePath } from '../../../src/attest/proc/exe.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('an executable path is taken as it is, or not at all', () => {
  const path = (link: string | Buffer) => parseExecutablePath(Buffer.from(link as string));
  const at = (place: string) => ({ path: place, replaced: undefined });
  const nowhere = { path: undefined, replaced: undefined };
  assert.deepEqual(path('/usr/bin/envoy'), at('/usr/bin/envoy'));
  assert.deepEqual(path('/opt/a b/(deleted) /ä\nb'), at('/opt/a b/(deleted) /ä\nb'));
  assert.deepEqual(path('/usr/bin/envoy (deleted)'), { path: undefined, replaced: '/usr/bin/envoy' });
  assert.deepEqual(path('/memfd:envoy (deleted)'), nowhere);
  assert.deepEqual(path('socket:[1]'), nowhere);
  assert.deepEqual(path(Buffer.from([0x2f, 0xff, 0xfe])), nowhere);
});

test('of the own process the path can be read', () => {
  const { path, replaced } = readExecutablePath(process.pid);
  assert.deepEqual([path, replaced], [fs.realpathSync(process.execPath), undefined]);
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
  for (const read of [readExecutablePath, readExecutableIdentity]) {
    assert.throws(() => read(0x7fff_fff0), { code: 'ENOENT' });
  }
});
