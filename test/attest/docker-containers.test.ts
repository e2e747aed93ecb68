import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CACHED_MS,
  Containers,
  type ContainersOptions,
  INSPECT_LIMIT_MS,
  INSPECTIONS,
} from '../../src/attest/docker/containers.ts';
import { createEngine } from '../../src/attest/docker/engine.ts';
import { MAX_LINE_CHARACTERS } from '../../src/attest/docker/event-lines.ts';
import { LOG_EVERY_MS, STEADY_MS } from '../../src/attest/docker/event-stream.ts';
import { ALL_OF_KIND, CHANGES } from '../../src/attest/docker/events.ts';
import { UNKNOWN_MS } from '../../src/attest/docker/unknown-ids.ts';
import { bootTicks } from '../../src/attest/libc.ts';
import { readStat } from '../../src/attest/proc/stat.ts';
import { endAfter } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import { until } from '../support/process-state.ts';
import { recordingLog } from '../support/recording-log.ts';
import { answering, containerJson, IMAGE_ID, runningAs, StandInEngine } from '../support/stand-in-engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const ID = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
const FAILED = 'ERR_ATTESTATION_FAILED';
/** The caller is the main process, as most are: one question is enough then. */
const MAIN = { pid: process.pid };

interface Setting {
  readonly engine: StandInEngine;
  readonly clock: TestClock;
  readonly lines: Record<string, unknown>[];
  readonly containers: Containers;
}

/** An engine with one container, and what is known of it; it listens to the events. */
async function start(t: TestContext, options: Partial<ContainersOptions> = {}): Promise<Setting> {
  const engine = new StandInEngine(t);
  engine.answer = answering(containerJson(ID));
  await engine.start();
  const setting = open(t, engine, options);
  await until(() => setting.containers.caching);
  return setting;
}

function open(t: TestContext, engine: StandInEngine, options: Partial<ContainersOptions> = {}): Setting {
  const clock = new TestClock();
  const { log, lines } = recordingLog();
  const client = createEngine(engine.socketPath);
  const containers = new Containers({ engine: client, clock, log, wantImage: () => false, ...options });
  t.after(() => containers.close());
  return { engine, clock, lines, containers };
}

/** Answers when the test says so. */
function slowly(engine: StandInEngine, json: unknown): { asked: Promise<void>; answer: () => void } {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  let answer = (): void => {};
  engine.answer = (response, request) => {
    answer = () => answering(json)(response, request);
    resolve();
  };
  return { asked, answer: () => answer() };
}

test('who asks at the same time shares one answer, and who comes later gets what is remembered', async (t) => {
  const { containers, engine } = await start(t);
  const found = await Promise.all(Array.from({ length: 20 }, () => containers.get(ID, MAIN)));
  assert.ok(found.every((each) => each === found[0] && each?.name === 'web-1'));
  assert.equal(await containers.get(ID, MAIN), found[0]);
  assert.deepEqual(engine.asked, [`/containers/${ID}/json`]);
  assert.equal(containers.inspections, 1);
});

test('a change that the engine tells of is asked about', async (t) => {
  const { containers, engine } = await start(t);
  await containers.get(ID, MAIN);
  engine.answer = answering(containerJson(ID, { Name: '/renamed' }));
  engine.tell({ Type: 'container', Action: 'exec_start', Actor: { ID } });
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID: OTHER } });
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
  while ((await containers.get(ID, MAIN))!.name === 'web-1') await new Promise(setImmediate);
  assert.equal(containers.inspections, 2);
});

test('an answer that was on its way when the container changed is not remembered, nor shared from then on', async (t) => {
  const { containers, engine } = await start(t);
  const old = slowly(engine, containerJson(ID));
  const first = containers.get(ID, MAIN);
  await old.asked;
  engine.answer = answering(containerJson(ID, { Name: '/renamed' }));
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
  // Asked about for itself as soon as the event has come; until then it is the same answer.
  while (containers.inspections === 1) {
    void containers.get(ID, MAIN);
    await new Promise(setImmediate);
  }
  assert.equal((await containers.get(ID, MAIN))!.name, 'renamed');
  old.answer();
  assert.equal((await first)!.name, 'web-1');
  assert.equal((await containers.get(ID, MAIN))!.name, 'renamed');
  assert.equal(containers.inspections, 2);
});

test('nothing is remembered while the engine tells no events, and all is asked again when it does', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  await containers.get(ID, MAIN);
  engine.cut();
  await until(() => !containers.caching);
  await containers.get(ID, MAIN);
  await containers.get(ID, MAIN);
  assert.equal(containers.inspections, 3);
  clock.advance(100);
  await until(() => containers.caching);
  await containers.get(ID, MAIN);
  await containers.get(ID, MAIN);
  assert.equal(containers.inspections, 4);
  assert.deepEqual(
    lines.map(({ level }) => level),
    [40, 30],
    'one line when it went, one when it came back',
  );
});

test('an engine that went and came back is found again, later each time and with one line in the log', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  await containers.get(ID, MAIN);
  await engine.stop();
  await until(() => clock.pending === 1);
  await assert.rejects(containers.get(ID, MAIN), { code: FAILED, message: /ENOENT, there is no such socket/ });
  for (const delay of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    clock.advance(delay - 1);
    assert.equal(clock.pending, 1);
    clock.advance(1);
    assert.equal(clock.pending, 0, `${delay} ms`);
    await until(() => clock.pending === 1);
  }
  assert.equal(lines.length, 1);
  await engine.start();
  clock.advance(5_000);
  await until(() => containers.caching);
  assert.equal((await containers.get(ID, MAIN))!.name, 'web-1');
  assert.equal(lines.length, 2);
  clock.advance(STEADY_MS);
  engine.cut();
  await until(() => clock.pending === 1);
  clock.advance(100);
  await until(() => containers.caching);
});

test("an event that can't be read ends the stream", async (t) => {
  const { containers, engine, lines } = await start(t);
  await containers.get(ID, MAIN);
  engine.tell('{"Type":');
  await until(() => !containers.caching);
  assert.match(JSON.stringify(lines[0]), /is not JSON/);
  assert.doesNotMatch(JSON.stringify(lines[0]), /stack/);
});

test('an event that is too long forgets all and is passed over: the stream goes on', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  for (let round = 1; round <= 3; round += 1) {
    const before = containers.inspections;
    await containers.get(ID, MAIN);
    assert.equal(containers.inspections, before + 1);
    const label = 'x'.repeat(3 * 1024 * 1024);
    const event = { status: 'start', id: OTHER, Type: 'container', Action: 'start', Actor: { ID: OTHER, label } };
    engine.tell(event);
    while (containers.cached(ID) !== undefined) await new Promise(setImmediate);
    await containers.get(ID, MAIN);
    // The event after it is read.
    engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
    while (containers.cached(ID) !== undefined) await new Promise(setImmediate);
  }
  assert.equal(containers.caching, true);
  assert.equal(lines.length, 1, JSON.stringify(lines).slice(0, 2_000));
  assert.equal(lines[0]!.container, OTHER);
  clock.advance(LOG_EVERY_MS);
  engine.tell('y'.repeat(MAX_LINE_CHARACTERS + 1), '');
  await until(() => lines.length === 2);
  assert.deepEqual([lines[1]!.left_out, lines[1]!.container], [2, undefined]);
  assert.ok(JSON.stringify(lines).length < 2_000);
});

test('a stream that ends again and again is opened less and less often, with a line in the log each 10 s', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  for (const delay of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    engine.cut();
    await until(() => clock.pending === 1);
    clock.advance(delay - 1);
    assert.equal(clock.pending, 1, `${delay} ms`);
    clock.advance(1);
    await until(() => containers.caching);
  }
  const told = lines.filter(({ level }) => level === 40);
  assert.deepEqual(
    told.map(({ left_out }) => left_out),
    [0, 6],
  );
  assert.doesNotMatch(JSON.stringify(lines), /stack/);
  clock.advance(STEADY_MS);
  engine.cut();
  await until(() => clock.pending === 1);
  clock.advance(100);
  await until(() => containers.caching);
});

test('an engine that refuses to leave out events is asked for all of the kind', async (t) => {
  const engine = new StandInEngine(t);
  const filters: Record<string, unknown>[] = [];
  engine.refusesEvents = (asked) => {
    filters.push(asked);
    return 'event' in asked;
  };
  engine.answer = answering(containerJson(ID));
  await engine.start();
  const { containers } = open(t, engine);
  await until(() => containers.caching);
  assert.deepEqual(filters, [CHANGES, ALL_OF_KIND]);
});

test('what is remembered is asked again after a minute, however healthy the events look', async (t) => {
  const { containers, clock } = await start(t);
  await containers.get(ID, MAIN);
  clock.advance(CACHED_MS - 1);
  await containers.get(ID, MAIN);
  assert.equal(containers.inspections, 1);
  clock.advance(1);
  await containers.get(ID, MAIN);
  assert.equal(containers.inspections, 2);
  clock.set(clock.now() - 1);
  await containers.get(ID, MAIN);
  assert.equal(containers.inspections, 3, 'a clock that was set back proves nothing');
});

test('an engine that hangs fails within the limit, and all that it keeps waiting', async (t) => {
  const { containers, engine, clock } = await start(t);
  const { asked } = slowly(engine, '');
  const waiting = Array.from({ length: 30 }, (_, at) => containers.get(at.toString(16).padStart(64, '0')));
  const rejected = Promise.all(
    waiting.map((each) => assert.rejects(each, { code: FAILED, message: /within 1000 ms/ })),
  );
  await asked;
  clock.advance(INSPECT_LIMIT_MS);
  await rejected;
  engine.answer = answering(containerJson(ID));
  assert.equal((await containers.get(ID, MAIN))!.name, 'web-1', 'and it recovers');
});

test('an engine that dribbles fails within the limit', async (t) => {
  const { containers, engine, clock } = await start(t);
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  engine.answer = (response) => {
    response.write('{"Id":');
    resolve();
  };
  const rejected = assert.rejects(containers.get(ID, MAIN), { code: FAILED, message: /within 1000 ms/ });
  await begun;
  clock.advance(INSPECT_LIMIT_MS);
  await rejected;
});

test('what an engine may not answer fails and says why', async (t) => {
  const { containers, engine } = await start(t);
  const cases: readonly [StandInEngine['answer'], RegExp][] = [
    [answering('{"Id"'), /not JSON/],
    [answering('[]'), /answer is invalid: the answer/],
    [answering(containerJson(OTHER)), /another container/],
    [(response) => response.writeHead(500).end('hunter2'), /status 500/],
    [(response) => response.writeHead(301, { location: 'http://elsewhere' }).end(), /status 301/],
    [(response) => response.socket!.destroy(), /ECONNRESET, it closed/],
    [(response) => response.socket!.end('hunter2 is not HTTP\r\n\r\n'), /not HTTP/],
    [
      (response) => response.writeHead(200, { 'content-length': '900' }).write('{', () => response.destroy()),
      /ECONNRESET/,
    ],
    [answering(containerJson(ID, { State: runningAs(2 ** 22 + 1) })), /pid: host/],
  ];
  for (const [answer, message] of cases) {
    engine.answer = answer;
    await assert.rejects(containers.get(ID, MAIN), (error: Error & { code: string }) => {
      assert.equal(error.code, FAILED);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  }
  engine.answer = answering(containerJson(ID));
  assert.equal((await containers.get(ID, MAIN))!.name, 'web-1', 'and it recovers');
});

test('a container of which there is too much to read fails without a question until it changes', async (t) => {
  const labels = Object.fromEntries(Array.from({ length: 90_000 }, (_, at) => [String(at), '']));
  const tooMuch: readonly [string | Record<string, unknown>, RegExp][] = [
    [
      containerJson(ID, { Config: { Image: 'x', Labels: labels } }),
      /more than 20000 members, which is the limit \(exceeded in Config\.Labels/,
    ],
    [`"${'x'.repeat(5 * 1024 * 1024)}"`, /more than 4194304 bytes/],
  ];
  for (const [answer, message] of tooMuch) {
    const { containers, engine, clock } = await start(t);
    engine.answer = answering(answer);
    const rejects = () => assert.rejects(containers.get(ID), { code: FAILED, message });
    await Promise.all([rejects(), rejects()]);
    for (let again = 0; again < 100; again += 1) await rejects();
    assert.equal(containers.inspections, 1);
    assert.throws(() => containers.cached(ID), { code: FAILED });
    clock.advance(CACHED_MS);
    await rejects();
    assert.equal(containers.inspections, 2);
    engine.answer = answering(containerJson(ID));
    engine.tell({ Type: 'container', Action: 'start', Actor: { ID } });
    while ((await containers.get(ID).catch(() => undefined)) === undefined) await new Promise(setImmediate);
    assert.equal(containers.inspections, 3);
  }
});

const notFound: StandInEngine['answer'] = (response) => response.writeHead(404).end('{"message":"No such container"}');

test('a container that the engine does not know is none, and is not asked about again for a moment', async (t) => {
  const { containers, engine, clock } = await start(t);
  engine.answer = notFound;
  for (let i = 0; i < 5; i += 1) assert.equal(await containers.get(ID), undefined);
  assert.equal(containers.inspections, 1);
  clock.advance(UNKNOWN_MS - 1);
  assert.equal(await containers.get(ID), undefined);
  assert.equal(containers.inspections, 1);
  clock.advance(1);
  assert.equal(await containers.get(ID), undefined);
  assert.equal(containers.inspections, 2);
  clock.set(clock.now() - 1);
  await containers.get(ID);
  assert.equal(containers.inspections, 3, 'a clock that was set back proves nothing');
});

test('an unknown container is asked about again as soon as the engine tells of it, or of all', async (t) => {
  const { containers, engine } = await start(t);
  for (const action of ['create', 'start']) {
    engine.answer = notFound;
    assert.equal(await containers.get(ID), undefined);
    engine.answer = answering(containerJson(ID));
    engine.tell({ Type: 'container', Action: action, Actor: { ID: OTHER } });
    engine.tell({ Type: 'container', Action: action, Actor: { ID } });
    while ((await containers.get(ID)) === undefined) await new Promise(setImmediate);
    engine.tell({ Type: 'image', Action: 'tag', Actor: { ID: 'x' } });
    while (containers.cached(ID) !== undefined) await new Promise(setImmediate);
  }
  engine.answer = notFound;
  assert.equal(await containers.get(ID), undefined);
  engine.cut();
  await until(() => !containers.caching);
  const before = containers.inspections;
  await containers.get(ID);
  await containers.get(ID);
  assert.equal(containers.inspections, before + 2, 'while no event would tell of it, it is asked about each time');
});

test('of unknown containers a bounded number is remembered, the oldest are forgotten', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = notFound;
  const id = (n: number) => n.toString(16).padStart(64, '0');
  for (let n = 0; n <= 1_000; n += 1) await containers.get(id(n));
  assert.equal(containers.inspections, 1_001);
  await containers.get(id(1));
  assert.equal(containers.inspections, 1_001);
  await containers.get(id(0));
  assert.equal(containers.inspections, 1_002);
});

test('a user whose containers are asked about without end leaves questions to others', async (t) => {
  const { containers, engine } = await start(t);
  let waiting = 0;
  engine.answer = (response, request) => {
    if (request.url!.includes(ID)) answering(containerJson(ID))(response, request);
    else waiting += 1;
  };
  const user = { name: 'the containers of uid 7' };
  const flood = Array.from({ length: 200 }, (_, n) => {
    const name = `container /hostile/${n}`;
    const id = n.toString(16).padStart(64, '0');
    return containers.get(id, { owner: { name, accounts: [{ name }, user] } });
  });
  // One of the names is that of the honest one: the answer to it waits in the user's own line.
  flood.push(containers.get(ID, { owner: { name: 'container /hostile/x', accounts: [{ name: 'x' }, user] } }));
  for (const each of flood) each.catch(() => undefined);
  await until(() => waiting === INSPECTIONS.perUser);
  const owner = { name: 'container /docker/a', accounts: [{ name: 'a' }, { name: 'the containers of uid 0' }] };
  assert.equal((await containers.get(ID, { ...MAIN, owner }))!.name, 'web-1');
  assert.equal(waiting, INSPECTIONS.perUser);
});

test('a main process that did not call is asked about twice: the first answer may be old when it is read', async (t) => {
  const { containers, engine } = await start(t);
  const path = `/containers/${ID}/json`;
  await containers.get(ID, { pid: process.ppid });
  assert.deepEqual(engine.asked, [path, path]);
  const other = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, other);
  const state = runningAs(process.pid);
  const later: readonly unknown[] = [
    containerJson(ID, { State: runningAs(other.pid!) }),
    containerJson(ID, { State: { ...state, StartedAt: '2026-01-01T00:00:00Z' } }),
    undefined,
  ];
  for (const json of later) {
    engine.tell({ Type: 'container', Action: 'restart', Actor: { ID } });
    await until(() => containers.cached(ID) === undefined);
    engine.answer = (response, request) => {
      answering(containerJson(ID))(response, request);
      engine.answer = json === undefined ? notFound : answering(json);
    };
    await assert.rejects(containers.get(ID), { code: FAILED, message: /ended during its inspection/ });
  }
  engine.answer = (response, request) => {
    answering(containerJson(ID))(response, request);
    engine.answer = answering(containerJson(ID, { State: { ...state, Running: false } }));
  };
  await assert.rejects(containers.get(ID), { code: FAILED, message: /is not running/ });
});

test('a process that did not begin with the container is taken only if the engine sees it in the cgroup', async (t) => {
  const { containers, engine } = await start(t);
  const startedAt = new Date(performance.timeOrigin - 60_000).toISOString();
  const stale = containerJson(ID, { State: { ...runningAs(process.pid), StartedAt: startedAt } });
  let top: unknown;
  engine.answer = (response, request) => {
    if (!request.url!.includes('/top?')) answering(stale)(response, request);
    else if (top === undefined) notFound(response, request);
    else answering(top)(response, request);
  };
  const pid = String(process.pid);
  const refused: readonly [unknown, RegExp][] = [
    [undefined, /the engine does not list it in the container/],
    [{ Titles: ['PID'], Processes: [] }, /the engine does not list it in the container/],
    [{ Titles: ['PID'], Processes: [[`${pid}0`], ['1']] }, /the engine does not list it in the container/],
    [{ Titles: ['PPID'], Processes: [[pid]] }, /Titles does not conform/],
    [{ Titles: ['PID', 'CMD'], Processes: [[pid, 'x']] }, /Titles does not conform/],
    [{ Titles: ['PID'], Processes: [['1', pid]] }, /Processes does not conform/],
    [{ Titles: ['PID'], Processes: [`x${pid}`] }, /Processes does not conform/],
  ];
  for (const [answer, message] of refused) {
    top = answer;
    await assert.rejects(containers.get(ID, MAIN), (error: Error & { code: string }) => {
      assert.equal(error.code, FAILED);
      assert.match(error.message, /did not start with the container/);
      assert.match(error.message, message);
      return true;
    });
  }
  top = { Titles: ['PID'], Processes: [['1'], [pid]] };
  assert.equal((await containers.get(ID, MAIN))!.name, 'web-1');
});

test('what is remembered of a container ends with its main process, whether that is reaped or not', async (t) => {
  const { containers, engine } = await start(t);
  // A shell that does not wait for its child: the child stays when it has ended.
  const parent = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  endAfter(t, parent);
  const main = Number(String((await once(parent.stdout, 'data'))[0]));
  engine.answer = answering(containerJson(ID, { State: runningAs(main) }));
  await until(() => readStat(main).startTicks < bootTicks());
  assert.notEqual(await containers.get(ID), undefined);
  assert.notEqual(containers.cached(ID), undefined);
  process.kill(main, 'SIGKILL');
  await until(() => readStat(main).hasEnded);
  assert.equal(containers.cached(ID), undefined);
  await assert.rejects(containers.get(ID), { code: FAILED, message: /Sidekey does not see process/ });
});

test('a connection that the engine closed while it was kept is no failure', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = answering(containerJson(ID));
  await containers.get(ID, MAIN);
  let connections = 0;
  engine.answer = (response, request) => {
    connections += 1;
    if (connections === 1) response.socket!.destroy();
    else answering(containerJson(OTHER))(response, request);
  };
  assert.equal((await containers.get(OTHER, MAIN))!.id, OTHER);
  assert.equal(connections, 2);
});

test('a container that is called as the id of another one begins is not taken for that one', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = answering(containerJson(ID, { Name: '/0123456789ab' }));
  await assert.rejects(containers.mainPid('0123456789ab'), { code: FAILED, message: /use the full id/ });
  assert.equal(await containers.mainPid(ID.slice(0, 12)), process.pid);
  assert.equal(await containers.mainPid('web-1'), process.pid);
});

test('only an id enters a path', async (t) => {
  const { containers, engine } = await start(t);
  for (const id of ['', '../info', `${ID}/../x`, ID.toUpperCase(), `${ID}\n`]) {
    await assert.rejects(containers.get(id), { code: FAILED });
  }
  assert.deepEqual(engine.asked, []);
});

test('the image is asked about only where its digest is wanted, within the same limit', async (t) => {
  let wanted = false;
  const { containers, engine, clock } = await start(t, { wantImage: () => wanted });
  const digest = `sha256:${'9e'.repeat(32)}`;
  engine.answer = (response, request) =>
    request.url!.startsWith('/images/')
      ? response.end(JSON.stringify({ RepoDigests: [`envoy@${digest}`] }))
      : response.end(JSON.stringify(containerJson(ID)));
  assert.equal((await containers.get(ID, MAIN))!.image, undefined);
  wanted = true;
  assert.deepEqual((await containers.get(ID, MAIN))!.image, { digests: [digest], labels: new Map() });
  await containers.get(ID, MAIN);
  const container = `/containers/${ID}/json`;
  assert.deepEqual(engine.asked, [container, container, `/images/${IMAGE_ID}/json`]);

  clock.advance(CACHED_MS);
  engine.answer = (response, request) => {
    if (request.url!.startsWith('/images/')) response.writeHead(404).end('{}');
    else response.end(JSON.stringify(containerJson(ID)));
  };
  assert.deepEqual(
    (await containers.get(ID, MAIN))!.image,
    { why: 'its image was deleted' },
    'an image that was deleted under its container',
  );

  clock.advance(CACHED_MS);
  const { promise: hanging, resolve } = Promise.withResolvers<void>();
  engine.answer = (response, request) => {
    if (request.url!.startsWith('/images/')) resolve();
    else response.end(JSON.stringify(containerJson(ID)));
  };
  const rejected = assert.rejects(containers.get(ID, MAIN), { code: FAILED, message: /within 1000 ms/ });
  await hanging;
  clock.advance(INSPECT_LIMIT_MS);
  await rejected;
});

test('no socket at the start is a warning, and found once it is there', async (t) => {
  const engine = new StandInEngine(t);
  const { containers, clock, lines } = open(t, engine);
  await until(() => clock.pending === 1);
  assert.equal(lines.length, 1);
  assert.match(JSON.stringify(lines[0]), /ENOENT/);
  engine.answer = answering(containerJson(ID));
  await engine.start();
  assert.equal((await containers.get(ID, MAIN))!.name, 'web-1', 'asked before it tells events, too');
  clock.advance(100);
  await until(() => containers.caching);
});

test('a file that is not a socket fails and says so', async (t) => {
  const file = path.join(tempDir(t), 'engine.sock');
  writeFileSync(file, '');
  const { log } = recordingLog();
  const engine = createEngine(file);
  const containers = new Containers({ engine, clock: new TestClock(), log, wantImage: () => false });
  t.after(() => containers.close());
  await assert.rejects(containers.get(ID, MAIN), { code: FAILED, message: /ECONNREFUSED|ENOTSOCK/ });
});

test('who wants to know is told of a change once what was remembered is forgotten, and of no harmless event', async (t) => {
  const told: boolean[] = [];
  let containers: Containers | undefined;
  const onChange = () => told.push(containers?.cached(ID) === undefined);
  const setting = await start(t, { onChange });
  ({ containers } = setting);
  await containers.get(ID, MAIN);
  assert.deepEqual(told.splice(0), [true], 'the events began');
  setting.engine.tell({ Type: 'container', Action: 'exec_start: sh', Actor: { ID } });
  setting.engine.tell({ Type: 'container', Action: 'health_status: healthy', Actor: { ID } });
  setting.engine.tell({ Type: 'network', Action: 'connect', Actor: { ID: OTHER, Attributes: { container: ID } } });
  await until(() => told.length > 0);
  assert.deepEqual(told.splice(0), [true]);
  setting.engine.cut();
  await until(() => told.length > 0);
});

test('what is remembered takes a bounded number of descriptors, and gives them back', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = (response, request) =>
    answering(containerJson(/[0-9a-f]{64}/.exec(request.url!)![0]))(response, request);
  const id = (n: number) => n.toString(16).padStart(64, '0');
  const pidfds = () => readdirSync('/proc/self/fd').filter(isPidfd).length;
  for (let n = 0; n < 40; n += 1) await containers.get(id(n), MAIN);
  assert.equal(pidfds(), 32);
  for (let n = 0; n < 40; n += 1) assert.notEqual(containers.cached(id(n)), undefined);
  assert.equal(containers.inspections, 40);
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID: id(0) } });
  await until(() => pidfds() === 31);
  await containers.get(id(0), MAIN);
  assert.equal(pidfds(), 32);
  engine.answer = (response) => response.writeHead(500).end();
  for (let n = 100; n < 110; n += 1) await assert.rejects(containers.get(id(n), MAIN));
  assert.equal(pidfds(), 32);
  engine.tell({ Type: 'image', Action: 'tag', Actor: { ID: 'x' } });
  await until(() => pidfds() === 0);
});

function isPidfd(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).includes('pidfd');
  } catch {
    return false;
  }
}
