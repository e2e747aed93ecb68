/** Supplementary groups: as they were at connect, as they are, and how many. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerGroups } from '../../src/attest/socket-peer.ts';
import { MAX_GROUPS } from '../../src/attest/supplementary-groups.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { startCaller } from '../support/caller.ts';
import { startPipe } from '../support/pipe.ts';
import { processorTime } from '../support/processor-time.ts';
import { serve } from '../support/serve.ts';

const skip = process.getuid!() === 0 ? false : 'only root can choose its groups';
const unix = () => createUnixAttestor({ log: createLog('silent'), wantSha256: () => false });
const groups = (count: number) => Array.from({ length: count }, (_, at) => 100_000 + at);

test('the kernel tells the groups of whoever connected, or how many there are', { skip }, async (t) => {
  const pipe = await startPipe(t);
  const caller = startCaller(t);
  await caller.tell('setgroups', [27, 4]);
  await caller.tell('connect', pipe.path);
  const { socket } = await pipe.next();
  await caller.tell('setgroups', [1, 2, 3]);
  assert.deepEqual(peerGroups(socket, 2), [4, 27]);
  assert.deepEqual(peerGroups(socket, 1), { count: 2 });
  assert.deepEqual(peerGroups(socket, 0), { count: 2 });
});

for (const [what, before, after] of [
  ['takes a group', [4], [4, 27]],
  ['gives up a group', [4, 27], [4]],
  ['changes one for another', [4], [27]],
] as const) {
  test(`a process that ${what} after it connected is refused until it connects again`, { skip }, async (t) => {
    const pipe = await startPipe(t, { attestors: [unix()] });
    const caller = startCaller(t);
    await caller.tell('setgroups', before);
    await caller.tell('connect', pipe.path);
    const { peer } = await pipe.next();
    assert.ok((await peer.attest()).keys.has('unix:supplementary_gid:4'));
    await caller.tell('setgroups', after);
    await assert.rejects(peer.attest(), { code: 'ERR_PEER_CHANGED', message: /supplementary groups/ });
    await caller.tell('connect', pipe.path);
    const { keys } = await (await pipe.next()).peer.attest();
    assert.deepEqual(
      [...keys].filter((key) => key.includes('supplementary_gid')),
      after.map((gid) => `unix:supplementary_gid:${gid}`).sort(),
    );
  });
}

test('a process may have as many groups as the limit says, and has them all', { skip }, async (t) => {
  const pipe = await startPipe(t, { attestors: [unix()] });
  const caller = startCaller(t);
  await caller.tell('setgroups', groups(MAX_GROUPS));
  await caller.tell('connect', pipe.path);
  const { keys } = await (await pipe.next()).peer.attest();
  assert.ok(groups(MAX_GROUPS).every((gid) => keys.has(`unix:supplementary_gid:${gid}`)));
});

for (const count of [MAX_GROUPS + 1, 65_536]) {
  test(`a process in ${count} groups is refused, with the number and the rule, and costs little`, {
    skip,
  }, async (t) => {
    const pipe = await startPipe(t, { attestors: [unix()] });
    const caller = startCaller(t);
    await caller.tell('setgroups', groups(count));
    await caller.tell('connect', pipe.path);
    const { peer } = await pipe.next();
    const message = `process ${caller.pid} has ${count} supplementary groups; the limit is ${MAX_GROUPS}`;
    await assert.rejects(peer.attest(), { code: 'ERR_ATTESTATION_FAILED', message });
    const begun = processorTime();
    for (let at = 0; at < 100; at += 1) await assert.rejects(peer.attest());
    const each = processorTime(begun) / 100;
    assert.ok(each < 10, `${each} ms of processor time for each`);
  });
}

test('explain says that a process has too many groups', { skip }, async (t) => {
  const server = await serve(t);
  const caller = startCaller(t);
  await caller.tell('setgroups', groups(2_000));
  const { body } = await server.request('GET', `/v1/explain?pid=${caller.pid}`);
  assert.match(body.attestors[0].error, /has 2000 supplementary groups; the limit is 1024/);
  assert.deepEqual(body.attestors[0].facts, []);
});

test('a caller with too many groups is told so, and the log has no stack of it', { skip }, async (t) => {
  const server = await serve(t);
  const caller = startCaller(t);
  await caller.tell('setgroups', groups(2_000));
  await caller.tell('connect', server.socket);
  caller.tellLast('stream', '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets');
  const { code, reason, err } = await server.logged('caller refused');
  assert.deepEqual([code, err], ['ERR_ATTESTATION_FAILED', undefined]);
  assert.match(String(reason), /has 2000 supplementary groups/);
});
