import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import type { Peer } from '../../src/attest/types.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { startCaller } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import { startPipe, whenGone } from '../support/pipe.ts';
import { recordingLog } from '../support/recording-log.ts';

test('a connection is handed over in the tick it was accepted in, before its first byte', async (t) => {
  const received = Promise.withResolvers<string>();
  const pipe = await startPipe(t, {
    onConnection: (socket) => socket.once('data', (bytes) => received.resolve(bytes.toString())),
  });
  const client = net.connect(pipe.path);
  client.write('first byte');
  assert.equal(await received.promise, 'first byte');
  client.destroy();
});

test('a uid that holds as many connections as it may gets no more until it gives one back', async (t) => {
  const { log, lines } = recordingLog();
  const counters = new Counters();
  const clock = new TestClock();
  const pipe = await startPipe(t, {
    log,
    clock,
    counters,
    limits: { connectionsPerUid: 2, connectsPerSecondPerUid: 1_000 },
  });
  const clients = [net.connect(pipe.path), net.connect(pipe.path)];
  const [one] = [await pipe.next(), await pipe.next()];
  assert.equal(pipe.pipe.connectionCount, 2);

  for (let at = 0; at < 3; at += 1) {
    const refused = net.connect(pipe.path);
    refused.on('error', () => {});
    await once(refused, 'close');
  }
  assert.equal(counters.get('connections_refused_total'), 3);
  assert.equal(pipe.pipe.connectionCount, 2);
  const warnings = lines.filter(({ level }) => level === 40);
  assert.equal(warnings.length, 1);
  assert.equal(warnings[0]!.uid, process.geteuid!());
  assert.match(String(warnings[0]!.reason), /has 2 connections open, which is its limit \(maxConnectionsPerUid\)/);

  clock.advance(10_000);
  const late = net.connect(pipe.path);
  late.on('error', () => {});
  await once(late, 'close');
  assert.equal(lines.filter(({ level }) => level === 40).length, 2);

  const gone = whenGone(one.peer);
  clients[0]!.destroy();
  await gone;
  clients.push(net.connect(pipe.path));
  await pipe.next();
  for (const client of clients) client.destroy();
});

test('one uid that is at its limit takes nothing from another', {
  skip: process.getuid!() === 0 ? false : 'only root can become another user',
}, async (t) => {
  const counters = new Counters();
  const pipe = await startPipe(t, { counters, limits: { connectionsPerUid: 1 } });
  const client = net.connect(pipe.path);
  t.after(() => client.destroy());
  await pipe.next();
  const caller = startCaller(t);
  await caller.tell('setuid', 65_534);
  await caller.tell('connect', pipe.path);
  assert.equal((await pipe.next()).peer.credentials.uid, 65_534);
  assert.equal(counters.get('connections_refused_total'), 0);
});

test('a connection that is reset makes no noise', async (t) => {
  const { log, lines } = recordingLog();
  const pipe = await startPipe(t, { log });
  const client = net.connect(pipe.path);
  const { peer, socket } = await pipe.next();
  const gone = whenGone(peer);
  client.destroy();
  socket.write(Buffer.alloc(1_000_000));
  await gone;
  assert.deepEqual(
    lines.filter(({ level }) => (level as number) > 20),
    [],
  );
});

test('a process that has ended before its connection is accepted gets nothing', async (t) => {
  const peers: Peer[] = [];
  const pipe = await startPipe(t, { onConnection: (_socket, peer) => peers.push(peer) });
  // Nothing is accepted while this waits.
  const code = `require('node:net').connect(${JSON.stringify(pipe.path)}, () => process.exit(0))`;
  assert.equal(spawnSync(process.execPath, ['-e', code]).status, 0);

  const client = net.connect(pipe.path);
  t.after(() => client.destroy());
  while (peers.at(-1)?.credentials.pid !== process.pid) await new Promise(setImmediate);
  // Kernels differ in whether they still know the process; where one does, it is accepted and gone.
  for (const peer of peers.slice(0, -1)) await assert.rejects(peer.attest(), { code: 'ERR_PEER_GONE' });
  assert.ok(peers.length <= 2);
});
