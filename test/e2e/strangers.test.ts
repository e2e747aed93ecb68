/** Whoever holds a connection that is another's, or was a process that is no more, gets no secret over it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type Caller, startCaller } from '../support/caller.ts';
import type { HolderResult } from '../support/holder-program.ts';
import { until } from '../support/process-state.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const OURS = `spiffe://${TRUST_DOMAIN}/ours`;
const TRUSTED = `spiffe://${TRUST_DOMAIN}/trusted`;
const SLEEP = realpathSync('/bin/sleep');
const SUPPORT = path.join(import.meta.dirname, '../support');
const HOLDER = path.join(SUPPORT, 'holder-program.ts');

let server: Served;
let holders = 0;
const cleanup: (() => unknown)[] = [];

before(async () => {
  server = await serve({ after: (step) => void cleanup.push(step as () => unknown) });
  await entry(OURS, `uid:${process.getuid!()}`);
  await entry(TRUSTED, `uid:${process.getuid!()}`, `path:${SLEEP}`);
});
after(async () => {
  for (const step of cleanup.reverse()) await step();
});

async function entry(spiffeId: string, ...values: string[]): Promise<void> {
  const selectors = values.map((value) => ({ type: 'unix', value }));
  assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors })).status, 201);
}

/** Gives the caller's connection to a process that asks for the name once the caller has changed. */
async function giveAway(
  caller: Caller,
  name: string,
  how: 'sent' | 'inherited',
  when = 'changed',
): Promise<() => Promise<HolderResult>> {
  holders += 1;
  const file = path.join(server.directory, `result-${holders}`);
  const args = [HOLDER, file, String(caller.pid), name, how, when];
  if (how === 'sent') await caller.tell('send', ...args);
  else await caller.tell('share', process.execPath, ...args);
  await until(() => existsSync(`${file}.ready`));
  return async () => {
    await until(() => existsSync(file));
    return JSON.parse(readFileSync(file, 'utf8')) as HolderResult;
  };
}

async function connected(t: TestContext): Promise<Caller> {
  const caller = startCaller(t);
  await caller.tell('connect', server.socket);
  return caller;
}

/** Neither a key nor a certificate, whatever else it is told. */
function hasNoSecret({ data }: HolderResult): void {
  assert.doesNotMatch(data, /-----BEGIN|tls_certificate/);
}

describe('a connection that is not one’s own', { concurrency: 2, timeout: 60_000 }, () => {
  it('gives what is its process’s to whoever holds it, as long as that lives', async (t) => {
    const caller = await connected(t);
    const result = await giveAway(caller, OURS, 'inherited', 'stopped');
    // So that it doesn't read what the other waits for.
    process.kill(caller.pid, 'SIGSTOP');
    assert.match((await result()).data, /-----BEGIN PRIVATE KEY-----/);
  });

  for (const how of ['inherited', 'sent'] as const) {
    it(`gives nothing to whom it was ${how} once its process has ended`, async (t) => {
      const caller = await connected(t);
      const result = await giveAway(caller, OURS, how);
      caller.tellLast('exit');
      hasNoSecret(await result());
    });
  }

  it('gives nothing for a program that its process became after it had connected', async (t) => {
    const caller = await connected(t);
    const result = await giveAway(caller, TRUSTED, 'inherited');
    caller.tellLast('execute', SLEEP, '1000');
    hasNoSecret(await result());
    const refusal = () => server.log.find(({ msg, pid }) => msg === 'caller refused' && pid === caller.pid);
    await until(() => refusal() !== undefined);
    assert.match(String(refusal()!.reason), /has executed another program since it connected/);
  });
});

describe('a process that ends before its connection is accepted', { timeout: 60_000 }, () => {
  it('leaves nothing to whom it gave it', async (t) => {
    // Nothing is accepted while the server stands still.
    process.kill(server.pid, 'SIGSTOP');
    let result: () => Promise<HolderResult>;
    try {
      const caller = await connected(t);
      result = await giveAway(caller, OURS, 'inherited');
      caller.tellLast('exit');
      await caller.ended;
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    hasNoSecret(await result());
  });

  it('leaves nothing also where its pid is now that of a process which is entitled', (t) => {
    const unshare = ['-p', '-f', '--mount-proc', '--kill-child'];
    const probe = 'echo 4000 > /proc/sys/kernel/ns_last_pid';
    if (process.getuid!() !== 0 || spawnSync('unshare', [...unshare, 'sh', '-c', probe]).status !== 0) {
      return t.skip(
        'no pid namespace of our own, whose next pid could be set, can be made here: that takes root and unshare(1)',
      );
    }
    const program = path.join(SUPPORT, 'pid-reuse-program.ts');
    const { stdout, stderr } = spawnSync('unshare', [...unshare, process.execPath, program], { encoding: 'utf8' });
    const found = JSON.parse(stdout || '{}') as { pid: number; again: number; runs: string; result: HolderResult };
    assert.equal(found.again, found.pid, stderr);
    assert.equal(found.runs, SLEEP);
    hasNoSecret(found.result);
  });
});
