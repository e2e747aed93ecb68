import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createAccounts } from '../../src/attest/accounts.ts';
import { createFileHasher, FILE_HASH_LIMITS, type FileHasher } from '../../src/attest/file-hash.ts';
import type { Attestor } from '../../src/attest/types.ts';
import { createUnixAttestor, type UnixAttestorOptions } from '../../src/attest/unix/attestor.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { endAfter, startCaller } from '../support/caller.ts';
import { startPipe } from '../support/pipe.ts';
import { recordingLog } from '../support/recording-log.ts';
import { tempDir } from '../support/temp-dir.ts';

const asRoot = process.getuid!() === 0 ? false : 'only root can become another user';

function unix(options: Partial<UnixAttestorOptions> = {}): Attestor {
  return createUnixAttestor({ log: createLog('silent'), wantSha256: () => true, ...options });
}

async function values(attestor: Attestor, pid: number): Promise<string[]> {
  const selectors = await attestor.attest({ pid, uid: process.geteuid!(), gid: process.getegid!(), groups: [] });
  assert.ok(selectors.every(({ type }) => type === 'unix'));
  return selectors.map(({ value }) => value);
}

/** A program of its own, running, and the file it runs. */
async function program(
  t: TestContext,
  name = 'program',
  padding = '',
): Promise<{ pid: number; file: string; sha256: string }> {
  const file = path.join(tempDir(t), name);
  fs.copyFileSync('/bin/sleep', file);
  fs.appendFileSync(file, padding);
  const pid = start(t, file);
  return { pid, file, sha256: createHash('sha256').update(fs.readFileSync(file)).digest('hex') };
}

/** The program runs when this returns: spawn waits for its exec. */
function start(t: TestContext, file: string): number {
  const child = spawn(file, ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return child.pid!;
}

test('a process has its ids and their names, its path and its hash', async (t) => {
  const directory = tempDir(t);
  const passwd = path.join(directory, 'passwd');
  const group = path.join(directory, 'group');
  fs.writeFileSync(passwd, `me:x:${process.geteuid!()}:0::/:/bin/sh\n`);
  fs.writeFileSync(group, `us:x:${process.getegid!()}:\n`);
  const { pid, file, sha256 } = await program(t);
  const found = await values(unix({ accounts: createAccounts(passwd, group) }), pid);
  for (const value of [
    `uid:${process.geteuid!()}`,
    `gid:${process.getegid!()}`,
    'user:me',
    'group:us',
    `path:${file}`,
    `sha256:${sha256}`,
  ]) {
    assert.ok(found.includes(value), `${value} is missing from ${found}`);
  }
});

test('an id without a name here has no name selector', async (t) => {
  const none = path.join(tempDir(t), 'none');
  const found = await values(unix({ accounts: createAccounts(none, none) }), process.pid);
  assert.deepEqual(
    found.filter((value) => /^(user|group|supplementary_group):/.test(value)),
    [],
  );
  assert.ok(found.includes(`uid:${process.geteuid!()}`));
});

test('supplementary groups are those of the process, by number and name', { skip: asRoot }, async (t) => {
  const group = path.join(tempDir(t), 'group');
  fs.writeFileSync(group, 'adm:x:4:\nweb:x:4242:\n');
  const attestor = unix({ accounts: createAccounts('/etc/passwd', group), wantSha256: () => false });
  const pipe = await startPipe(t, { attestors: [attestor] });
  const caller = startCaller(t);
  await caller.tell('setgroups', [4, 4242, 7777]);
  await caller.tell('setgid', 1234);
  await caller.tell('setuid', 1233);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  const { keys } = await peer.attest();
  assert.deepEqual(
    [...keys].filter((key) => !/unix:(path|user)/.test(key)),
    [
      'unix:gid:1234',
      'unix:supplementary_gid:4',
      'unix:supplementary_gid:4242',
      'unix:supplementary_gid:7777',
      'unix:supplementary_group:adm',
      'unix:supplementary_group:web',
      'unix:uid:1233',
    ],
  );
});

test('the hash is not made before an entry asks for it', async (t) => {
  const hasher = createFileHasher();
  let wanted = false;
  const attestor = unix({ hasher, wantSha256: () => wanted });
  const { pid, sha256 } = await program(t);
  assert.ok(!(await values(attestor, pid)).some((value) => value.startsWith('sha256:')));
  assert.equal(hasher.runs, 0);
  wanted = true;
  assert.ok((await values(attestor, pid)).includes(`sha256:${sha256}`));
  assert.equal(hasher.runs, 1);
});

test('one program is read once, however many processes run it', async (t) => {
  const hasher = createFileHasher();
  const attestor = unix({ hasher });
  const { pid, file, sha256 } = await program(t);
  for (const each of [pid, pid, start(t, file)]) assert.ok((await values(attestor, each)).includes(`sha256:${sha256}`));
  assert.equal(hasher.runs, 1);
});

test('a program that was replaced has no path, and the hash of what still runs', async (t) => {
  const attestor = unix();
  const old = await program(t);
  assert.ok((await values(attestor, old.pid)).includes(`path:${old.file}`));

  fs.copyFileSync(old.file, `${old.file}.new`);
  fs.appendFileSync(`${old.file}.new`, 'version 2');
  fs.renameSync(`${old.file}.new`, old.file);
  const found = await values(attestor, old.pid);
  assert.ok(!found.some((value) => value.startsWith('path:')), `${found}`);
  assert.ok(found.includes(`sha256:${old.sha256}`));

  const foundOfNew = await values(attestor, start(t, old.file));
  const sha256 = createHash('sha256').update(fs.readFileSync(old.file)).digest('hex');
  assert.ok(foundOfNew.includes(`path:${old.file}`));
  assert.ok(foundOfNew.includes(`sha256:${sha256}`));
});

test('a program whose name ends in " (deleted)" does not pass for another', async (t) => {
  const { pid } = await program(t, 'envoy (deleted)');
  assert.ok(!(await values(unix(), pid)).some((value) => value.startsWith('path:')));
});

test('a program beyond the size limit fails, but only where its hash is wanted', async (t) => {
  const hasher: FileHasher = createFileHasher({ ...FILE_HASH_LIMITS, maxBytes: 1_000 });
  const { pid, file } = await program(t);
  await assert.rejects(values(unix({ hasher }), pid), {
    code: 'ERR_ATTESTATION_FAILED',
    message: /the limit for unix:sha256 is 1000$/,
  });
  assert.ok((await values(unix({ hasher, wantSha256: () => false }), pid)).includes(`path:${file}`));
});

test('a process that has ended fails', async () => {
  await assert.rejects(values(unix(), 0x7fff_fff0), { code: 'ENOENT' });
});

test('where another user may not look at the executable, path and hash are left out', { skip: asRoot }, async (t) => {
  const { log, lines } = recordingLog();
  const attestor = unix({ log });
  const { pid } = await program(t);
  process.seteuid!(65_534);
  const found = await attestor.attest({ pid, uid: 0, gid: 0, groups: [] }).finally(() => process.seteuid!(0));
  const left = found.map(({ value }) => value).filter((value) => /^(path|sha256|uid):/.test(value));
  assert.deepEqual(left, ['uid:0']);
  assert.deepEqual(
    lines.map(({ level, pid }) => [level, pid]),
    [
      [20, pid],
      [20, pid],
    ],
  );
});

test('a server that may not read the programs of other users says so of an entry that needs that', () => {
  const me = process.getuid!();
  const of = (readsOthers: boolean, ...values: string[]) => {
    const options = { log: createLog('silent'), wantSha256: () => true, readsOthers: () => readsOthers };
    const { whyNever } = createUnixAttestor(options);
    return whyNever!(
      'path:/usr/bin/envoy',
      values.map((value) => ({ type: 'unix', value })),
    );
  };
  const other = `uid:${me + 1}`;
  assert.match(
    of(false, other)!,
    /may not read the programs of other users, so no process with unix:uid:\d+ has a unix:path; .*CAP_SYS_PTRACE.*cap_add: \[SYS_PTRACE\]/,
  );
  for (const why of [of(true, other), of(false, `uid:${me}`), of(false, 'gid:1'), of(false, 'user:no-such-user')])
    assert.equal(why, undefined);
});
