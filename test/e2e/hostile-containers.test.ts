/** Containers whose labels and events are weapons, of a real engine, beside an honest one: that one is served, and nothing grows. */

import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { endAfter } from '../support/caller.ts';
import { joinCgroupsOf } from '../support/cgroup.ts';
import { type ContainerEngine, engines, NO_ENGINE } from '../support/container-engine.ts';
import { chainOf, namesOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const RUN = `sidekey-test-hostile-${process.pid}`;
/** In the hostile container's labels, and nowhere else. */
const MARK = 'labels-as-a-weapon';
const HELD = '/bin/sleep';

const skip = process.getuid!() === 0 ? false : 'only root can move a process into a container';

interface Setting {
  readonly server: Served;
  readonly image: string;
  readonly folder: string;
  /** A client in the honest container. */
  readonly honest: SdsClient;
}

async function start(t: TestContext, engine: ContainerEngine, name: string): Promise<Setting> {
  const image = engine.image(t, `${RUN}:${name}`);
  const place = makePlace(t);
  // So that the test, in a container too, may use the admin socket.
  const flags = [
    '--docker-socket',
    engine.socketPath,
    '--socket-mode',
    '0666',
    '--x509-svid-ttl',
    '10s',
    '--allow-contained',
  ];
  const server = await serve(t, { place, flags, logLevel: 'info' });
  chmodSync(place.directory, 0o755);
  const selectors = [`docker:label:app:${RUN}`];
  const made = await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors });
  assert.equal(made.status, 201);
  const folder = path.dirname(server.socket);
  engine.run(
    image,
    { name: `${RUN}-web`, folder, flags: ['--network', 'none', '--label', `app=${RUN}`] },
    HELD,
    '1000',
  );
  joinContainer(t, engine, `${RUN}-web`, process.pid);
  const honest = new SdsClient(server.socket);
  t.after(() => honest.close());
  assert.deepEqual(namesOf(await honest.fetch({ resourceNames: [WEB] })), [WEB]);
  return { server, image, folder, honest };
}

function joinContainer(t: TestContext, engine: ContainerEngine, name: string, pid: number): void {
  // Back, before the engine removes the cgroup.
  t.after(() => pid === process.pid && joinCgroupsOf(process.ppid, pid));
  joinCgroupsOf(Number(engine.inspect(name, '{{.State.Pid}}')), pid);
}

/** A caller in the container that has itself attested as often as it can. */
async function attackFrom(t: TestContext, engine: ContainerEngine, name: string, socket: string): Promise<void> {
  const child: ChildProcess = fork(path.join(import.meta.dirname, '../support/hostile-program.ts'), {
    stdio: 'ignore',
  });
  endAfter(t, child);
  joinContainer(t, engine, name, child.pid!);
  child.send({ command: 'attack', options: { attack: 'attested', socket, uid: 21_103 } });
  await once(child, 'message');
}

/** Fetches on a connection of its own each time, for some seconds; every one must be answered. */
async function fetchFor(seconds: number, socket: string): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let fetched = 0;
  for (; performance.now() < end; fetched += 1) {
    const client = new SdsClient(socket);
    try {
      assert.deepEqual(namesOf(await client.fetch({ resourceNames: [WEB] })), [WEB]);
    } finally {
      client.close();
    }
  }
  return fetched;
}

const peakMib = ({ pid }: Served) =>
  Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1_024;

const databaseMib = ({ dataDir }: Served) =>
  readdirSync(dataDir)
    .filter((name) => name.startsWith('sidekey.db'))
    .reduce((sum, name) => sum + statSync(path.join(dataDir, name)).size, 0) /
  1024 ** 2;

const LABELS: readonly [name: string, labels: Record<string, string>, refused: boolean][] = [
  ['ten labels of 350 KB', manyLabels(10, 350_000), true],
  ['90,000 labels', manyLabels(90_000, 0), true],
  ['as many labels as are read', manyLabels(1_900, 100), false],
];

function manyLabels(count: number, length: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`${MARK}-${at}`, 'x'.repeat(length)]));
}

function addTests(engine: ContainerEngine): void {
  for (const [name, labels, refused] of LABELS) {
    it(`${engine.name}: a container with ${name} grows neither database nor memory nor log`, {
      skip,
      timeout: 120_000,
    }, async (t) => {
      const { server, image, folder } = await start(t, engine, 'labels');
      const hostile = `${RUN}-labels`;
      await engine.create(image, { name: hostile, folder }, { Cmd: [HELD, '1000'], Labels: labels });
      await engine.start(hostile);
      await attackFrom(t, engine, hostile, server.socket);
      while ((await decisionsOf(server)).length < 1_000) await fetchFor(0.2, server.socket);
      await fetchFor(2, server.socket);

      const decisions = JSON.stringify(await decisionsOf(server));
      assert.equal(decisions.includes(`${MARK}-7`), false, 'no label is on record');
      assert.ok(decisions.length < 2_000_000, `a thousand decisions have ${decisions.length} bytes`);
      assert.equal(decisions.includes('too much to read from the container engine'), refused);
      assert.ok(databaseMib(server) < 16, `the database has ${databaseMib(server)} MiB`);
      assert.ok(peakMib(server) < 350, `the server had ${peakMib(server)} MiB`);
      assert.equal(JSON.stringify(server.log).includes(`${MARK}-7`), false, 'no label is in the log');
      assert.ok(JSON.stringify(server.log).length < 500_000);

      // A person who asks sees what is wrong, and a new entry that asks for one of the labels has it at once.
      const pid = engine.inspect(hostile, '{{.State.Pid}}');
      const { body } = await server.request('GET', `/v1/explain?pid=${pid}`);
      const docker = body.attestors.find((one: { name: string }) => one.name === 'docker');
      if (refused) {
        assert.match(docker.error ?? docker.remark, /too much to read .* the limit/);
      } else {
        assert.equal(docker.facts.length > 1_900, true);
        const selectors = [`docker:label:${MARK}-7:${'x'.repeat(100)}`];
        const made = await server.request('POST', '/v1/entries', { spiffe_id: `${WEB}/7`, selectors });
        assert.equal(made.status, 201, JSON.stringify(made.body));
        const explained = await server.request('GET', `/v1/explain?pid=${pid}&spiffe_id=${WEB}/7`);
        assert.equal(explained.body.asked.given, true);
      }
    });
  }

  it(`${engine.name}: a container with a label above 1 MiB, a health check each millisecond, and commands in it keeps nobody from an identity`, {
    skip,
    timeout: 120_000,
  }, async (t) => {
    const { server, image, folder, honest } = await start(t, engine, 'events');
    const hostile = `${RUN}-events`;
    const Healthcheck = { Test: ['CMD', '/bin/true'], Interval: 1_000_000 };
    const Labels = { [MARK]: 'x'.repeat(1_100_000) };
    await engine.create(image, { name: hostile, folder }, { Cmd: [HELD, '1000'], Labels, Healthcheck });
    await engine.start(hostile);
    const ending = new AbortController();
    t.after(() => ending.abort());
    engine.removeLater(`${hostile}-renamed`);
    const flood = floodOf(engine, hostile, ending.signal);
    const stream = honest.stream();
    stream.ask(WEB);
    const serials = new Set<string>();
    const renewed = (async () => {
      while (serials.size < 2) {
        const response = await stream.next();
        stream.ack(response);
        serials.add(chainOf(secretOf(response, WEB))[0]!.serialNumber);
      }
    })();
    await fetchFor(6, server.socket);
    await renewed;
    ending.abort();
    const { commands } = await flood;
    assert.ok(commands >= 5, `${commands} commands`);

    const events = server.log.filter(({ msg }) => /container engine|attesting a caller again failed/.test(String(msg)));
    assert.ok(events.length <= 4, JSON.stringify(events).slice(0, 2_000));
    assert.equal(
      events.some(({ msg }) => String(msg).includes('event stream of the container engine is down')),
      false,
      'the stream of events goes on',
    );
    const long = events.filter(({ msg }) => String(msg).includes('has more than 65536 characters'));
    // Podman leaves labels out of most events.
    if (engine.name === 'Docker') assert.ok(long.length > 0);
    assert.doesNotMatch(JSON.stringify(server.log), /"stack"/);
    assert.equal(JSON.stringify(server.log).includes('xxxxxxxx'), false);
    assert.ok(peakMib(server) < 350, `the server had ${peakMib(server)} MiB`);
  });
}

async function decisionsOf(server: Served): Promise<{ uid: number }[]> {
  const { body } = await server.request('GET', '/v1/decisions?limit=1000');
  return body.decisions;
}

/** Runs commands in the container, renames it and signals it, one after the other, until it is told to end. */
async function floodOf(engine: ContainerEngine, name: string, signal: AbortSignal): Promise<{ commands: number }> {
  let [commands, at] = [0, name];
  while (!signal.aborted) {
    const next = at === name ? `${name}-renamed` : name;
    for (const words of [
      ['exec', at, '/bin/true'],
      ['kill', '--signal', 'CONT', at],
      ['rename', at, next],
    ]) {
      const child = spawn('docker', ['-H', `unix://${engine.socketPath}`, ...words], { stdio: 'ignore' });
      await once(child, 'close');
      commands += 1;
    }
    at = next;
  }
  return { commands };
}

const here = engines();
if (here.length === 0) it('hostile containers of a real engine', { skip: NO_ENGINE });
for (const engine of here) addTests(engine);
