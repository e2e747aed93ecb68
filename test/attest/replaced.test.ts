/** Programs whose file is replaced, renamed or deleted while they run. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Peer } from '../../src/attest/types.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { sidekey } from '../cli/support.ts';
import { type Caller, startCaller } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import { startPipe } from '../support/pipe.ts';
import { recordingLog } from '../support/recording-log.ts';
import { serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

/** A caller that runs a program of its own. */
async function startOwn(t: TestContext): Promise<{ caller: Caller; file: string }> {
  const file = path.join(tempDir(t), 'program');
  fs.copyFileSync(process.execPath, file, fs.constants.COPYFILE_FICLONE);
  const caller = startCaller(t, file);
  await caller.tell('close');
  return { caller, file };
}

/** As a package manager does it. */
function replace(file: string): void {
  fs.copyFileSync('/bin/sleep', `${file}.new`);
  fs.renameSync(`${file}.new`, file);
}

const REPLACED = "the program's file was replaced: restart the program, because it has no unix:path until then";

async function startUnixPipe(t: TestContext) {
  const { log, lines } = recordingLog();
  const clock = new TestClock();
  const attestor = createUnixAttestor({ log, clock, wantSha256: () => false });
  return { pipe: await startPipe(t, { attestors: [attestor] }), lines, clock };
}

async function pathOf(peer: Peer): Promise<string | undefined> {
  const { keys } = await peer.attest();
  return [...keys].find((key) => key.startsWith('unix:path:'))?.slice('unix:path:'.length);
}

test('a connection keeps the path that it was attested with, and a new one has none', async (t) => {
  const { pipe, lines, clock } = await startUnixPipe(t);
  const { caller, file } = await startOwn(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  assert.equal(await pathOf(peer), file);
  assert.deepEqual(pipe.pipe.replacedPrograms(), []);
  replace(file);
  const before = (await peer.attest()).key;
  assert.equal(await pathOf(peer), file);
  peer.verify();
  assert.equal((await peer.attest()).key, before);
  const told = { pid: caller.pid, uid: process.getuid!(), path: file };
  assert.deepEqual(pipe.pipe.replacedPrograms(), [{ ...told, keepsPath: true }]);
  assert.deepEqual(lines, []);

  await caller.tell('connect', pipe.path);
  const later = (await pipe.next()).peer;
  for (let at = 0; at < 3; at += 1) assert.equal(await pathOf(later), undefined);
  clock.advance(10_000);
  assert.equal(await pathOf(later), undefined);
  const line = { level: 40, pid: caller.pid, path: file, msg: REPLACED };
  assert.deepEqual(
    lines.map(({ level, pid, path, left_out, msg }) => ({ level, pid, path, left_out, msg })),
    [
      { ...line, left_out: 0 },
      { ...line, left_out: 2 },
    ],
  );
  assert.equal(await pathOf(peer), file, 'the first one still has it');
});

test('a name that the file of a running program gets later gives its connection nothing', async (t) => {
  const { pipe } = await startUnixPipe(t);
  const { caller, file } = await startOwn(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  assert.equal(await pathOf(peer), file);
  const trusted = `${file}-trusted`;
  fs.renameSync(file, trusted);
  assert.equal(fs.readlinkSync(`/proc/${caller.pid}/exe`), trusted);
  assert.equal(await pathOf(peer), file);
});

test('who executes another program loses the path with the connection', async (t) => {
  const { pipe } = await startUnixPipe(t);
  const { caller, file } = await startOwn(t);
  await caller.tell('connect', pipe.path);
  await caller.tell('share');
  const { peer } = await pipe.next();
  assert.equal(await pathOf(peer), file);
  replace(file);
  // The new file of that very name.
  caller.tellLast('execute', file, '1000');
  while (fs.readlinkSync(`/proc/${caller.pid}/exe`) !== file) await new Promise(setImmediate);
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED' });
});

test('a file that was deleted and made anew under the name is not the one that runs', async (t) => {
  const { pipe } = await startUnixPipe(t);
  const { caller, file } = await startOwn(t);
  fs.rmSync(file);
  fs.copyFileSync('/bin/sleep', file);
  await caller.tell('connect', pipe.path);
  assert.equal(await pathOf((await pipe.next()).peer), undefined);
});

test('explain and doctor say that a program was replaced', async (t) => {
  const server = await serve(t);
  const { caller, file } = await startOwn(t);
  const spiffeId = 'spiffe://ilinux.io/replaced';
  const selectors = [`path:${file}`, `uid:${process.getuid!()}`].map((value) => ({ type: 'unix', value }));
  const { body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors });
  replace(file);
  await caller.tell('connect', server.socket);
  caller.tellLast('stream', '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets');
  await server.logged(REPLACED);

  const query = `pid=${caller.pid}&spiffe_id=${spiffeId}`;
  const { body: explained } = await server.request('GET', `/v1/explain?${query}`);
  assert.equal(explained.asked.given, false);
  assert.equal(explained.near[0].entry_id, body.id);
  assert.deepEqual(explained.fixes, [], 'no entry mends that');
  assert.match(explained.note, new RegExp(`^${file} was replaced or deleted .*: restart the program`));

  const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
  assert.match(
    stdout,
    new RegExp(`${file}: warning: process ${caller.pid} .* replaced or deleted .*\\[program-replaced\\]`),
  );
});
