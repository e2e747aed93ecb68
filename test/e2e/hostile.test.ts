/** Hostile callers that use all that they are allowed, beside an honest one: nobody ends the server, and the honest one is served. */

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { endAfter, startCaller } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { whyNotNobody } from '../support/child.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const STREAM = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
const skip = whyNotNobody() ?? false;

/** In MiB: small, so that limits that follow from it are soon reached. */
const HEAP_MIB = 192;

async function start(t: TestContext, flags: readonly string[] = [], more: object = {}): Promise<Served> {
  const place = makePlace(t);
  const server = await serve(t, { place, flags: ['--socket-mode', '0666', ...flags], logLevel: 'info', ...more });
  chmodSync(place.directory, 0o755);
  for (const uid of [process.getuid!(), 21_101, 21_102]) {
    const selectors = [{ type: 'unix', value: `uid:${uid}` }];
    const made = await server.request('POST', '/v1/entries', { spiffe_id: `${WEB}${uid || ''}`, selectors });
    assert.equal(made.status, 201);
  }
  return server;
}

async function attack(t: TestContext, server: Served, kind: string, uid: number): Promise<ChildProcess> {
  const child = fork(path.join(import.meta.dirname, '../support/hostile-program.ts'), { stdio: 'ignore' });
  endAfter(t, child);
  const folder = path.join(server.directory, `of-${uid}`);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  child.send({ command: 'attack', options: { attack: kind, socket: server.socket, uid, folder } });
  await once(child, 'message');
  return child;
}

/** Fetches on a connection of its own, so many times; every one must be answered. */
async function fetchAll(server: Served, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const client = new SdsClient(server.socket);
    try {
      assert.deepEqual(namesOf(await client.fetch({ resourceNames: [WEB] })), [WEB]);
    } finally {
      client.close();
    }
  }
}

/** As an Envoy does, tries again where the backlog is full; says how often it was. */
async function fetchAtLast(server: Served): Promise<number> {
  for (let full = 0; ; full += 1) {
    const client = new SdsClient(server.socket);
    try {
      assert.deepEqual(namesOf(await client.fetch({ resourceNames: [WEB] })), [WEB]);
      return full;
    } catch (error) {
      if (!String(error).includes('EAGAIN')) throw error;
    } finally {
      client.close();
    }
  }
}

const residentMib = ({ pid }: Served) =>
  Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1024;

describe('hostile callers', { skip, concurrency: 1, timeout: 300_000 }, () => {
  for (const kind of ['names', 'garbage', 'gzip', 'fetches', 'groups', 'hashes']) {
    it(`that send ${kind} without end leave an honest caller every one of its fetches`, async (t) => {
      const server = await start(t);
      if (kind === 'hashes') {
        const selectors = ['uid:0', `sha256:${'0'.repeat(64)}`].map((value) => ({ type: 'unix', value }));
        await server.request('POST', '/v1/entries', { spiffe_id: `${WEB}/hashed`, selectors });
      }
      await attack(t, server, kind, 21_101);
      await fetchAll(server, 40);
    });
  }

  it('that connect without end leave an honest caller nearly every one of its fetches at the first try', async (t) => {
    const server = await start(t);
    await attack(t, server, 'connects', 21_101);
    let again = 0;
    for (let i = 0; i < 40; i += 1) again += await fetchAtLast(server);
    // The tests beside this one take the processors for longer than the backlog lasts, at times.
    assert.ok(again <= 4, `${again} tries more`);
    await server.logged('connections are refused');
  });

  it('of several users that fill all limits at once meet the limit of memory, and the server lives and serves', async (t) => {
    const server = await start(t, [], { nodeFlags: [`--max-old-space-size=${HEAP_MIB}`] });
    const kinds = ['memory', 'streams', 'unread', 'unfinished', 'connects'];
    const attackers = await Promise.all(
      kinds.flatMap((kind, i) => [attack(t, server, kind, 21_101 + (i % 2)), attack(t, server, kind, 21_201 + i)]),
    );
    const told = (text: RegExp) =>
      server.log.some(({ msg, reason }) => msg === 'call refused or ended by a limit' && text.test(String(reason)));
    while (!told(/^uid \d+ has reached its memory limit of \d+ bytes \(memoryPerUid\)$/)) await fetchAtLast(server);
    while (!told(/^all callers together have reached the memory limit of \d+ bytes/)) await fetchAtLast(server);
    for (let i = 0; i < 20; i += 1) await fetchAtLast(server);
    assert.equal((await server.request('GET', '/readyz')).status, 200);
    const used = residentMib(server);
    assert.ok(used < 4 * HEAP_MIB, `${used} MiB`);
    for (const attacker of attackers) attacker.kill('SIGKILL');
    await fetchAtLast(server);
  });

  it('of two uids of one range in /etc/subuid share the limits of its user', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'subuid');
    writeFileSync(file, '1000:30000:65536\n');
    const launcher = ['unshare', '--mount', 'sh', '-c', `mount --bind '${file}' /etc/subuid && exec "$@"`, 'sh'];
    const flags = ['--socket-mode', '0666', '--max-streams-per-uid', '2', '--allow-unpinned-peers'];
    const server = await serve(t, { place, flags, launcher });
    chmodSync(place.directory, 0o755);
    await shareStreams(t, server, [30_001, 95_535], /^uid 1000 has 2 streams open/);
  });

  it('of two uids in one container share its limits', { skip: whyNoCgroup() }, async (t) => {
    const server = await start(t, ['--max-streams-per-uid', '2']);
    const cgroup = makeCgroup(t, `docker-${'5a'.repeat(32)}.scope`);
    await shareStreams(t, server, [21_101, 21_102], /^container .*5a\.scope has 2 streams open/, cgroup.join);
  });
});

/** Two streams of the first caller, and one of the second, which is one too many for what both are counted for. */
async function shareStreams(
  t: TestContext,
  server: Served,
  uids: readonly [number, number],
  reason: RegExp,
  place: (pid: number) => void = () => undefined,
): Promise<void> {
  const callers = await Promise.all(
    uids.map(async (uid) => {
      const caller = startCaller(t);
      place(caller.pid);
      await caller.tell('setgroups', []);
      await caller.tell('setgid', uid);
      await caller.tell('setuid', uid);
      await caller.tell('connect', server.socket);
      return caller;
    }),
  );
  await callers[0]!.tell('open', STREAM, 2);
  await callers[1]!.tell('open', STREAM, 1);
  await server.logged('call refused or ended by a limit');
  const [line] = server.log.filter(({ msg }) => msg === 'call refused or ended by a limit');
  assert.match(String(line!.reason), reason);
}
