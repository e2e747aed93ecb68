import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { type TestContext, test } from 'node:test';
import { nobodyContained } from '../../src/attest/contained.ts';
import { createExitWatcher } from '../../src/attest/exit-watcher.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { hasEnded, pidfdOpen } from '../../src/attest/libc.ts';
import { openPeer } from '../../src/attest/peer.ts';
import type { Attestor } from '../../src/attest/types.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { currentTurn } from '../../src/base/turn.ts';
import { Turns } from '../../src/limits/turns.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { type Caller, endAfter, startCaller } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import { openDescriptors, startPipe, whenGone } from '../support/pipe.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The event loop does not turn meanwhile. */
function standStillWhile(condition: () => boolean): void {
  const end = performance.now() + 10_000;
  while (condition()) assert.ok(performance.now() < end, 'it takes for ever');
}

/** A caller whose child has its connection too, which so stays open whatever becomes of the caller. */
async function connectShared(t: TestContext, options?: Parameters<typeof startPipe>[1]) {
  const pipe = await startPipe(t, options);
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  await caller.tell('share');
  return { caller, ...(await pipe.next()) };
}

/** Has the caller execute another program. Nothing tells when it has: what is given back says whether it is still to come. */
function executeAnother(caller: Caller): () => boolean {
  const program = () => fs.readlinkSync(`/proc/${caller.pid}/exe`);
  const before = program();
  caller.tellLast('execute', '/bin/sleep', '1000');
  return () => program() === before;
}

/** One that is asked and does not answer before it is told to. */
function slowAttestor(): { attestor: Attestor; begun: Promise<void>; goOn: () => void } {
  const reading = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const attestor: Attestor = {
    name: 'slow',
    attest: async () => {
      begun.resolve();
      await reading.promise;
      return [];
    },
  };
  return { attestor, begun: begun.promise, goOn: reading.resolve };
}

const asRoot = process.getuid!() === 0 ? false : 'only root can become another user';

test('a caller is who the kernel says, and is attested and verified as long as it stays so', async (t) => {
  const pipe = await startPipe(t);
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();

  const [uid, gid] = [process.geteuid!(), process.getegid!()];
  assert.deepEqual(peer.credentials, { pid: caller.pid, uid, gid });
  const attestation = await peer.attest();
  assert.deepEqual(attestation.keys, new Set([`unix:gid:${gid}`, `unix:uid:${uid}`]));
  assert.equal((await peer.attest()).key, attestation.key);
  peer.verify();
  assert.equal(peer.gone, false);
});

test('a caller that closes its connection is gone', async (t) => {
  const pipe = await startPipe(t);
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  const gone = whenGone(peer);
  await caller.tell('close');
  await gone;
  assert.equal(peer.gone, true);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_GONE' });
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_GONE' });
  await whenGone(peer);
});

test('closing a peer cuts its connection', async (t) => {
  const pipe = await startPipe(t);
  const client = net.connect(pipe.path);
  const { peer } = await pipe.next();
  peer.close();
  await Promise.all([once(client, 'close'), whenGone(peer)]);
});

test('a process that ends is gone, also while its child holds the connection', async (t) => {
  const { caller, peer, socket } = await connectShared(t);
  await peer.attest();

  const gone = whenGone(peer);
  caller.tellLast('exit');
  await gone;
  assert.equal(socket.destroyed, false);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_GONE' });
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_GONE' });
});

test('a process that has ended is refused before anybody is told that it has', async (t) => {
  const { caller, peer } = await connectShared(t);
  await peer.attest();
  const pidfd = pidfdOpen(caller.pid);
  process.kill(caller.pid, 'SIGKILL');
  // Nothing can have been told by then.
  standStillWhile(() => !hasEnded(pidfd));
  fs.closeSync(pidfd);
  assert.equal(peer.gone, false);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_GONE' });
});

test('connect, fork, execute: the connection is spent once its process runs another program', async (t) => {
  const { caller, peer } = await connectShared(t);
  await peer.attest();
  peer.verify();

  const runsTheSame = executeAnother(caller);
  while (runsTheSame()) await new Promise(setImmediate);
  assert.equal(peer.gone, false);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_CHANGED', message: /executed another program/ });
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED' });
  // The wire cuts what is gone, so that an honest client comes again on a new connection.
  await new Promise<void>((resolve) => peer.onGone(resolve));
  assert.equal(peer.gone, true);
});

test('what leaves in one turn of the event loop leaves by one look at the program, and in the next by another', async (t) => {
  const { caller, peer } = await connectShared(t);
  peer.verify();
  standStillWhile(executeAnother(caller));
  peer.verify();
  await new Promise(setImmediate);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_CHANGED' });
});

test('all connections of a process share the look of a turn, and each looks whether the process is alive', async (t) => {
  const pipe = await startPipe(t);
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path, 2);
  await caller.tell('share');
  const [one, two] = [(await pipe.next()).peer, (await pipe.next()).peer];
  one.verify();
  const begun = currentTurn();
  standStillWhile(executeAnother(caller));
  two.verify();
  process.kill(caller.pid, 'SIGKILL');
  standStillWhile(() => !fs.readFileSync(`/proc/${caller.pid}/stat`, 'latin1').includes(') Z '));
  for (const peer of [one, two]) assert.throws(() => peer.verify(), { code: 'ERR_PEER_GONE' });
  assert.equal(currentTurn(), begun);
});

test('a connection is not judged by a look that was before it, be it in the same turn', async (t) => {
  const { caller, peer, socket } = await connectShared(t);
  const exitWatcher = createExitWatcher();
  t.after(() => exitWatcher.close());
  peer.verify();
  standStillWhile(executeAnother(caller));
  const parts = {
    pinByPid: !probeKernel().pinsPeers,
    attestors: [],
    whyContained: nobodyContained,
    attestTimeoutMs: 1_000,
    clock: new SystemClock(),
    log: createLog('silent'),
  };
  const later = openPeer(socket, { ...parts, exitWatcher, owner: peer.owner, turns: new Turns() });
  later.verify();
  await new Promise(setImmediate);
  assert.throws(() => peer.verify(), { code: 'ERR_PEER_CHANGED' });
  later.verify();
});

test('facts are not believed by a look at the program that was before them, be it in the same turn', async (t) => {
  const { caller, peer } = await connectShared(t);
  peer.verify();
  standStillWhile(executeAnother(caller));
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED' });
});

test('a process that executes another program while it is attested is refused', async (t) => {
  const { attestor, begun, goOn } = slowAttestor();
  const { caller, peer } = await connectShared(t, { attestors: [attestor] });
  const refused = assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED' });
  await begun;
  const runsTheSame = executeAnother(caller);
  while (runsTheSame()) await new Promise(setImmediate);
  goOn();
  await refused;
});

test('with --allow-contained attestors still learn that a caller is contained: what is unknown of its container stays so', async (t) => {
  const told: (string | undefined)[] = [];
  const attestor: Attestor = {
    name: 'box',
    attest: async ({ contained }) => {
      told.push(contained);
      return [];
    },
  };
  const pipe = await startPipe(t, { attestors: [attestor], whySeenContained: () => 'it is in a box' });
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { contained } = await (await pipe.next()).peer.attest();
  assert.deepEqual([contained, told], [undefined, ['it is in a box']]);
});

test('a process that ends while it is attested is gone, whatever the attestor said', async (t) => {
  const reading = Promise.withResolvers<never>();
  const pipe = await startPipe(t, { attestors: [{ name: 'slow', attest: () => reading.promise }] });
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  const refused = assert.rejects(peer.attest(), { code: 'ERR_PEER_GONE' });
  const gone = whenGone(peer);
  caller.tellLast('exit');
  await gone;
  reading.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }));
  await refused;
});

test('a process that changes its user after it connected is refused', { skip: asRoot }, async (t) => {
  const pipe = await startPipe(t);
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  await peer.attest();
  await caller.tell('setuid', 65_534);
  await assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED', message: /user or group/ });
});

test('a process that changes its user while an attestor is asked is refused', { skip: asRoot }, async (t) => {
  const { attestor, begun, goOn } = slowAttestor();
  const pipe = await startPipe(t, { attestors: [attestor] });
  const caller = startCaller(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  const refused = assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED', message: /user or group/ });
  await begun;
  await caller.tell('setuid', 65_534);
  goOn();
  await refused;
});

test('calls at the same time share one reading; a later one reads anew', async (t) => {
  let readings = 0;
  const counting: Attestor = {
    name: 'counting',
    attest: async () => {
      readings += 1;
      return [{ type: 'counting', value: `${readings}` }];
    },
  };
  const pipe = await startPipe(t, { attestors: [counting] });
  const client = net.connect(pipe.path);
  t.after(() => client.destroy());
  const { peer } = await pipe.next();
  const [one, two] = await Promise.all([peer.attest(), peer.attest()]);
  assert.equal(one, two);
  assert.equal(readings, 1);
  assert.notEqual((await peer.attest()).key, one.key);
});

test('selectors of all attestors are put together, sorted, none twice', async (t) => {
  const attestors: Attestor[] = [
    { name: 'unix', attest: async () => ['uid:2', 'uid:10', 'uid:2'].map((value) => ({ type: 'unix', value })) },
    { name: 'docker', attest: async () => [{ type: 'docker', value: 'label:a:b' }] },
  ];
  const clock = new TestClock();
  const pipe = await startPipe(t, { attestors, clock });
  const client = net.connect(pipe.path);
  t.after(() => client.destroy());
  const { peer } = await pipe.next();
  const { selectors, keys } = await peer.attest();
  assert.equal(clock.pending, 0);
  assert.deepEqual([...keys], ['docker:label:a:b', 'unix:uid:10', 'unix:uid:2']);
  assert.deepEqual(
    selectors.map(({ value }) => value),
    ['label:a:b', 'uid:10', 'uid:2'],
  );
});

for (const [sentence, thrown, message] of [
  [
    'names the attestor and the error code',
    Object.assign(new Error('TOKEN=secret'), { code: 'ECONNREFUSED' }),
    'the docker attestor failed: ECONNREFUSED',
  ],
  [
    'keeps a message that may hold a secret to itself',
    new Error('TOKEN=secret'),
    'the docker attestor failed: an unexpected error',
  ],
] as const) {
  test(`one attestor that fails fails the attestation, and the error ${sentence}`, async (t) => {
    const attestors: Attestor[] = [
      { name: 'unix', attest: async () => [{ type: 'unix', value: 'uid:0' }] },
      { name: 'docker', attest: () => Promise.reject(thrown) },
    ];
    const pipe = await startPipe(t, { attestors });
    const client = net.connect(pipe.path);
    t.after(() => client.destroy());
    const { peer } = await pipe.next();
    await assert.rejects(peer.attest(), { code: 'ERR_ATTESTATION_FAILED', message, cause: thrown });
  });
}

test('an attestor that does not answer in time fails the attestation', async (t) => {
  const clock = new TestClock();
  const silent: Attestor = { name: 'docker', attest: () => new Promise(() => {}) };
  const pipe = await startPipe(t, { attestors: [silent], clock, attestTimeoutMs: 3_000 });
  const client = net.connect(pipe.path);
  t.after(() => client.destroy());
  const { peer } = await pipe.next();
  const refused = assert.rejects(peer.attest(), {
    code: 'ERR_ATTESTATION_FAILED',
    message: 'the docker attestor failed: no answer within 3000 ms',
  });
  clock.advance(3_000);
  await refused;
  assert.equal(clock.pending, 0);
});

test('a caller outside our pid namespace is unattestable', async (t) => {
  const unshare = ['-p', '-f', '--mount-proc', '--kill-child'];
  const probe = spawnSync('unshare', [...unshare, 'true']);
  if (probe.status !== 0) return t.skip('no pid namespace can be made here: that takes root and unshare(1)');

  // The server is the one in a namespace of its own; this process, which calls, is outside of it.
  const directory = tempDir(t);
  const socketPath = path.join(directory, 'pipe.sock');
  const url = (file: string) => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href);
  const server = `
    import { createExitWatcher } from ${url('attest/exit-watcher.ts')};
    import { createPipe } from ${url('attest/pipe.ts')};
    import { SystemClock } from ${url('base/clock.ts')};
    import { Quota } from ${url('limits/quota.ts')};
    import { Counters } from ${url('telemetry/counters.ts')};
    import { createLog } from ${url('telemetry/log.ts')};
    import { QUOTA_LIMITS } from ${url('../test/support/quota-limits.ts')};
    const attestor = { name: 'unix', attest: async () => [{ type: 'unix', value: 'uid:0' }] };
    const pipe = createPipe({
      attestors: [attestor], exitWatcher: createExitWatcher(), clock: new SystemClock(), log: createLog('silent'),
      quota: new Quota(QUOTA_LIMITS, new Counters()),
      async onConnection(socket, peer) {
        const attested = await peer.attest().then(() => 'attested', (error) => error.code);
        let verified = 'verified';
        try { peer.verify(); } catch (error) { verified = error.code; }
        console.log(JSON.stringify({ ...peer.credentials, attested, verified }));
        process.exit(0);
      },
    });
    pipe.server.listen(${JSON.stringify(socketPath)}, () => console.log('listening'));`;
  const child = spawn('unshare', [...unshare, process.execPath, '--input-type=module', '-e', server], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endAfter(t, child);
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'listening');
  const client = net.connect(socketPath);
  t.after(() => client.destroy());
  assert.deepEqual(JSON.parse((await lines.next()).value ?? 'null'), {
    pid: 0,
    uid: process.geteuid!(),
    gid: process.getegid!(),
    attested: 'ERR_PEER_UNATTESTABLE',
    verified: 'ERR_PEER_UNATTESTABLE',
  });
});

test('2,000 connections and processes that end with theirs open leave no descriptor', async (t) => {
  const pipe = await startPipe(t, { attestors: [] });
  const peers = async (count: number) => {
    for (let at = 0; at < count; at += 1) await whenGone((await pipe.next()).peer);
  };
  // The first ones open what stays open.
  const first = startCaller(t);
  await first.tell('connect', pipe.path);
  await first.tell('close');
  await peers(1);
  const before = openDescriptors();

  await first.tell('connect', pipe.path, 1_600);
  await first.tell('close');
  await peers(1_600);
  for (let at = 0; at < 4; at += 1) {
    const caller = startCaller(t);
    await caller.tell('connect', pipe.path, 100);
    caller.tellLast('exit');
    await caller.ended;
    await peers(100);
  }
  while (pipe.pipe.connectionCount > 0) await new Promise(setImmediate);
  assert.ok(openDescriptors() <= before, `${openDescriptors()} descriptors, ${before} before`);
});
