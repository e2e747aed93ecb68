import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createDockerAttestor, type DockerAttestor } from '../../src/attest/docker/attestor.ts';
import { DOCKER_KINDS } from '../../src/attest/docker/selectors.ts';
import { UNKNOWN_MS } from '../../src/attest/docker/unknown-ids.ts';
import type { AskedSelectors, ProgramMemory } from '../../src/attest/types.ts';
import type { Selector } from '../../src/spiffe/selector.ts';
import { endAfter } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { TestClock } from '../support/clock.ts';
import { until } from '../support/process-state.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SdsClient, secretsOf } from '../support/sds-client.ts';
import { serve } from '../support/serve.ts';
import { answering, containerJson, runningAs, StandInEngine } from '../support/stand-in-engine.ts';

const ID = 'ab'.repeat(32);
const FAILED = 'ERR_ATTESTATION_FAILED';
const skip = whyNoCgroup() ?? false;

/** A process that waits, in a cgroup of this name. */
function startIn(t: TestContext, cgroup: string): number {
  const pid = startProcess(t);
  makeCgroup(t, cgroup).join(pid);
  return pid;
}

function startProcess(t: TestContext): number {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return child.pid!;
}

interface Setting {
  readonly engine: StandInEngine;
  readonly clock: TestClock;
  readonly attestor: DockerAttestor;
  readonly lines: Record<string, unknown>[];
}

async function start(
  t: TestContext,
  asksFor: (kind: string) => boolean = () => true,
  asked?: AskedSelectors,
): Promise<Setting> {
  const engine = new StandInEngine(t);
  await engine.start();
  const clock = new TestClock();
  const { log, lines } = recordingLog();
  const attestor = createDockerAttestor({
    socketPath: engine.socketPath,
    clock,
    log,
    asksFor,
    ...(asked === undefined ? {} : { asked }),
  });
  t.after(() => attestor.close());
  await until(() => attestor.caching);
  return { engine, clock, attestor, lines };
}

function attest(attestor: DockerAttestor, pid: number): Promise<Selector[]> {
  return attestor.attest({ pid, uid: 0, gid: 0, groups: [] });
}

function running(pid: number): Record<string, unknown> {
  return containerJson(ID, { State: runningAs(pid) });
}

test('a caller in no container has no docker selectors, and the engine is not asked', async (t) => {
  const { attestor, engine } = await start(t);
  assert.deepEqual(await attest(attestor, process.pid), []);
  assert.deepEqual(engine.asked, []);
});

test('a caller in a container has what the engine says of it', { skip }, async (t) => {
  const { attestor, engine } = await start(t);
  const pid = startIn(t, `docker-${ID}.scope`);
  engine.answer = answering(running(pid));
  const found = (await attest(attestor, pid)).map(({ value }) => value);
  for (const value of ['label:app:web', 'env:MODE=test', 'image_id:envoy:v1', `container_id:${ID}`, 'network:front']) {
    assert.ok(found.includes(value), `${value} is missing from ${found}`);
  }
  await attest(attestor, pid);
  assert.equal(attestor.inspections, 1);
});

test('while no entry asks for a docker selector the engine is not asked', { skip }, async (t) => {
  let asked = '';
  const { attestor, engine } = await start(t, (kind) => kind === asked);
  const pid = startIn(t, ID);
  engine.answer = answering(running(pid));
  assert.deepEqual(await attest(attestor, pid), []);
  assert.deepEqual(engine.asked, []);
  asked = 'docker:name';
  assert.deepEqual(await attest(attestor, pid), [{ type: 'docker', value: 'name:web-1' }]);
  assert.ok(DOCKER_KINDS.includes(asked));
});

test('of a container with many labels callers have what entries ask for, and a new one at once', {
  skip,
}, async (t) => {
  const askers = new Set(['docker:label:l7:x', 'docker:network:front', 'docker:label:role:admin:prod']);
  const names = new Set(['docker:label:l7', 'docker:label:l8', 'docker:label:long', 'docker:env:A', 'docker:name']);
  const asked = {
    asksFor: (name: string) => names.has(name),
    askers: (selector: string) => (askers.has(selector) ? 1 : 0),
    askedRevision: 1,
    negatives: () => [],
    placeholders: () => [],
  };
  const { attestor, engine } = await start(t, () => true, asked);
  const pid = startIn(t, ID);
  const labels = Object.fromEntries(Array.from({ length: 1_900 }, (_, at) => [`l${at}`, 'x']));
  const json = containerJson(ID, {
    Config: { Image: 'x', Labels: { ...labels, 'role:admin': 'prod', long: 'x'.repeat(250) }, Env: ['A=1'] },
  });
  engine.answer = answering({ ...json, State: runningAs(pid) });
  const program: ProgramMemory = { path: undefined, replaced: undefined };
  const caller = { pid, uid: 0, gid: 0, groups: [], program };
  assert.equal(attestor.known!(program), undefined, 'nothing is known of it yet');
  const values = async () => (await attestor.attest(caller)).map(({ value }) => value);
  assert.deepEqual(await values(), ['label:l7:x', 'network:front']);

  askers.add('docker:env:A=1');
  asked.askedRevision += 1;
  const { given, alike } = attestor.known!(program)!;
  assert.deepEqual(
    given.map(({ value }) => value),
    ['label:l7:x', 'env:A=1', 'network:front'],
  );
  assert.deepEqual(
    alike.map(({ value }) => value),
    ['label:l8:x', 'name:web-1'],
    'of names and kinds that entries ask for with other values, and not a long one',
  );
  assert.deepEqual(await values(), ['label:l7:x', 'env:A=1', 'network:front']);
  assert.equal(attestor.inspections, 1, 'the engine is not asked again');
  const selector = { type: 'docker', value: 'label:role:admin:prod' };
  assert.deepEqual(attestor.ambiguousLabels(), [{ container: ID, selector }]);

  const remarks: string[] = [];
  const everything = await attestor.attest(caller, true, (text) => remarks.push(text));
  assert.ok(everything.length > 1_900 && everything.length < 1_920);
  assert.equal(remarks.length, 1);
  assert.match(remarks[0]!, /docker:label:role:admin:prod, which an entry asks for/);
});

test('of a caller in no container it is known that it has nothing', async (t) => {
  const { attestor } = await start(t);
  const program: ProgramMemory = { path: undefined, replaced: undefined };
  await attestor.attest({ pid: process.pid, uid: 0, gid: 0, groups: [], program });
  assert.deepEqual(attestor.known!(program), { given: [], alike: [] });
});

test('a caller in a cgroup that only has the name of a container gets nothing', { skip }, async (t) => {
  const { attestor, engine } = await start(t);
  const [main, impostor] = [startIn(t, ID), startIn(t, ID)];
  engine.answer = answering(running(main));
  assert.notEqual((await attest(attestor, main)).length, 0);
  await assert.rejects(attest(attestor, impostor), { code: FAILED, message: /it is not the cgroup of that container/ });
});

test('a user who took the pid of a container before the engine noted its start gets nothing', { skip }, async (t) => {
  const { attestor, engine } = await start(t);
  // In a cgroup named after the container, but not one of the engine's.
  const pid = startIn(t, ID);
  const answer = answering(running(pid));
  engine.answer = (response, request) =>
    request.url!.includes('/top?') ? response.writeHead(409).end('{}') : answer(response, request);
  await assert.rejects(attest(attestor, pid), { code: FAILED, message: /in a cgroup that engines do not use/ });
});

test("a container whose main process this one can't see is not trusted", { skip }, async (t) => {
  const { attestor, engine } = await start(t);
  const pid = startIn(t, ID);
  engine.answer = answering(running(process.pid));
  await assert.rejects(attest(attestor, pid), { code: FAILED, message: /pid: host/ });
  engine.answer = answering(running(2 ** 22 + 1));
  await assert.rejects(attest(attestor, pid), { code: FAILED, message: /pid: host/ });
});

test('a container that the engine does not know, or that does not run, fails', { skip }, async (t) => {
  const { attestor, engine, clock } = await start(t);
  const pid = startIn(t, ID);
  await assert.rejects(attest(attestor, pid), { code: FAILED, message: new RegExp(`knows no container ${ID}`) });
  clock.advance(UNKNOWN_MS);
  engine.answer = answering(containerJson(ID, { State: { Running: false, Pid: 0 } }));
  await assert.rejects(attest(attestor, pid), { code: FAILED, message: /not running/ });
});

test('a caller that leaves its container while the engine is asked gets nothing', { skip }, async (t) => {
  const { attestor, engine } = await start(t);
  const [main, caller] = [startProcess(t), startProcess(t)];
  const cgroup = makeCgroup(t, ID);
  const elsewhere = makeCgroup(t, 'elsewhere');
  for (const pid of [main, caller]) cgroup.join(pid);
  const answer = answering(running(main));
  engine.answer = (response, request) => {
    elsewhere.join(caller);
    answer(response, request);
  };
  await assert.rejects(attest(attestor, caller), {
    code: FAILED,
    message: /moved to another cgroup during the attestation/,
  });
  assert.deepEqual(await attest(attestor, caller), [], 'from then on it is in none');
  assert.notEqual((await attest(attestor, main)).length, 0);
});

const ENTRY = {
  spiffe_id: 'spiffe://ilinux.io/web',
  selectors: ['docker:compose_service:web', 'docker:env:PASSWORD=hunter2'],
};
const CONFIG = {
  Image: 'envoy:v1',
  Labels: { 'com.docker.compose.service': 'web' },
  Env: ['PASSWORD=hunter2', 'OTHER=s3cret'],
};

test('a stream whose engine fails ends with its reason, and one that was served lives on', { skip }, async (t) => {
  const engine = new StandInEngine(t);
  // What is served is the test itself.
  const server = await serve(t, { flags: ['--docker-socket', engine.socketPath, '--x509-svid-ttl', '10s'] });
  assert.match(JSON.stringify(await server.logged(REMEMBERS_NOTHING)), /there is no such socket/);
  const { status } = await server.request('POST', '/v1/entries', ENTRY);
  assert.equal(status, 201);
  // From then on it may not use the admin socket.
  makeCgroup(t, `docker-${ID}.scope`).join(process.pid);
  const client = new SdsClient(server.socket);
  t.after(() => client.close());

  const early = client.stream();
  early.ask(ENTRY.spiffe_id);
  const { code, details } = await early.status;
  assert.equal(code, 14);
  const decision = /decision (d-[0-9a-f]{12})/.exec(details)![1]!;
  const told = await server.logged('caller refused');
  assert.equal(told.decision, decision);
  assert.match(JSON.stringify(told), /the docker attestor failed: the container engine at .* ENOENT/);

  engine.answer = answering(containerJson(ID, { Config: CONFIG }));
  await engine.start();
  const stream = client.stream();
  stream.ask(ENTRY.spiffe_id);
  const first = await stream.next();
  stream.ack(first);

  // At half of its life it is due, and the engine is not there to say whether it still may be had.
  await engine.stop();
  await server.logged('attesting a caller again failed');
  await engine.start();
  const renewed = await stream.next();
  assert.notEqual(serial(renewed), serial(first));
  assert.doesNotMatch(JSON.stringify(server.log), /hunter2|s3cret/);
});

const REMEMBERS_NOTHING =
  'the event stream of the container engine is down: its answers are not cached until it is back; retrying';

function serial(response: Parameters<typeof secretsOf>[0]): string {
  return new X509Certificate(secretsOf(response)[0]!.tlsCertificate!.certificateChain!.inlineBytes!).serialNumber;
}
