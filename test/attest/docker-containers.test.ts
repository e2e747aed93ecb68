import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  Containers,
  type ContainersOptions,
  INSPECT_LIMIT_MS,
  REMEMBERED_MS,
} from '../../src/attest/docker/containers.ts';
import { createEngine } from '../../src/attest/docker/engine.ts';
import { MAX_LINE_CHARACTERS } from '../../src/attest/docker/event-lines.ts';
import { LOG_EVERY_MS, STEADY_MS } from '../../src/attest/docker/event-stream.ts';
import { ALL_OF_KIND, CHANGES } from '../../src/attest/docker/events.ts';
import { TestClock } from '../support/clock.ts';
import { until } from '../support/process-state.ts';
import { recordingLog } from '../support/recording-log.ts';
import { answering, containerJson, IMAGE_ID, StandInEngine } from '../support/stand-in-engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const ID = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
const FAILED = 'ERR_ATTESTATION_FAILED';

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
  await until(() => setting.containers.remembering);
  return setting;
}

function open(t: TestContext, engine: StandInEngine, options: Partial<ContainersOptions> = {}): Setting {
  const clock = new TestClock();
  const { log, lines } = recordingLog();
  const client = createEngine(engine.socketPath);
  const containers = new Containers({ engine: client, clock, log, wantImageDigests: () => false, ...options });
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
  const found = await Promise.all(Array.from({ length: 20 }, () => containers.get(ID)));
  assert.ok(found.every((each) => each === found[0] && each?.name === 'web-1'));
  assert.equal(await containers.get(ID), found[0]);
  assert.deepEqual(engine.asked, [`/containers/${ID}/json`]);
  assert.equal(containers.inspections, 1);
});

test('a change that the engine tells of is asked about', async (t) => {
  const { containers, engine } = await start(t);
  await containers.get(ID);
  engine.answer = answering(containerJson(ID, { Name: '/renamed' }));
  engine.tell({ Type: 'container', Action: 'exec_start', Actor: { ID } });
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID: OTHER } });
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
  while ((await containers.get(ID))!.name === 'web-1') await new Promise(setImmediate);
  assert.equal(containers.inspections, 2);
});

test('an answer that was on its way when the container changed is not remembered, nor shared from then on', async (t) => {
  const { containers, engine } = await start(t);
  const old = slowly(engine, containerJson(ID));
  const first = containers.get(ID);
  await old.asked;
  engine.answer = answering(containerJson(ID, { Name: '/renamed' }));
  engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
  // Asked about for itself as soon as the event has come; until then it is the same answer.
  while (containers.inspections === 1) {
    void containers.get(ID);
    await new Promise(setImmediate);
  }
  assert.equal((await containers.get(ID))!.name, 'renamed');
  old.answer();
  assert.equal((await first)!.name, 'web-1');
  assert.equal((await containers.get(ID))!.name, 'renamed');
  assert.equal(containers.inspections, 2);
});

test('nothing is remembered while the engine tells no events, and all is asked again when it does', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  await containers.get(ID);
  engine.cut();
  await until(() => !containers.remembering);
  await containers.get(ID);
  await containers.get(ID);
  assert.equal(containers.inspections, 3);
  clock.advance(100);
  await until(() => containers.remembering);
  await containers.get(ID);
  await containers.get(ID);
  assert.equal(containers.inspections, 4);
  assert.deepEqual(
    lines.map(({ level }) => level),
    [40, 30],
    'one line when it went, one when it came back',
  );
});

test('an engine that went and came back is found again, later each time and with one line in the log', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  await containers.get(ID);
  await engine.stop();
  await until(() => clock.pending === 1);
  await assert.rejects(containers.get(ID), { code: FAILED, message: /ENOENT, there is no such socket/ });
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
  await until(() => containers.remembering);
  assert.equal((await containers.get(ID))!.name, 'web-1');
  assert.equal(lines.length, 2);
  clock.advance(STEADY_MS);
  engine.cut();
  await until(() => clock.pending === 1);
  clock.advance(100);
  await until(() => containers.remembering);
});

test("an event that can't be read ends the stream", async (t) => {
  const { containers, engine, lines } = await start(t);
  await containers.get(ID);
  engine.tell('{"Type":');
  await until(() => !containers.remembering);
  assert.match(JSON.stringify(lines[0]), /can't be read/);
  assert.doesNotMatch(JSON.stringify(lines[0]), /stack/);
});

test('an event that is too long forgets all and is passed over: the stream goes on', async (t) => {
  const { containers, engine, clock, lines } = await start(t);
  for (let round = 1; round <= 3; round += 1) {
    const before = containers.inspections;
    await containers.get(ID);
    assert.equal(containers.inspections, before + 1);
    const label = 'x'.repeat(3 * 1024 * 1024);
    const event = { status: 'start', id: OTHER, Type: 'container', Action: 'start', Actor: { ID: OTHER, label } };
    engine.tell(event);
    while (containers.remembered(ID) !== undefined) await new Promise(setImmediate);
    await containers.get(ID);
    // The event after it is read.
    engine.tell({ Type: 'container', Action: 'rename', Actor: { ID } });
    while (containers.remembered(ID) !== undefined) await new Promise(setImmediate);
  }
  assert.equal(containers.remembering, true);
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
    await until(() => containers.remembering);
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
  await until(() => containers.remembering);
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
  await until(() => containers.remembering);
  assert.deepEqual(filters, [CHANGES, ALL_OF_KIND]);
});

test('what is remembered is asked again after a minute, however healthy the events look', async (t) => {
  const { containers, clock } = await start(t);
  await containers.get(ID);
  clock.advance(REMEMBERED_MS - 1);
  await containers.get(ID);
  assert.equal(containers.inspections, 1);
  clock.advance(1);
  await containers.get(ID);
  assert.equal(containers.inspections, 2);
  clock.set(clock.now() - 1);
  await containers.get(ID);
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
  assert.equal((await containers.get(ID))!.name, 'web-1', 'and it recovers');
});

test('an engine that dribbles fails within the limit', async (t) => {
  const { containers, engine, clock } = await start(t);
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  engine.answer = (response) => {
    response.write('{"Id":');
    resolve();
  };
  const rejected = assert.rejects(containers.get(ID), { code: FAILED, message: /within 1000 ms/ });
  await begun;
  clock.advance(INSPECT_LIMIT_MS);
  await rejected;
});

test('what an engine may not answer fails and says why', async (t) => {
  const { containers, engine } = await start(t);
  const cases: readonly [StandInEngine['answer'], RegExp][] = [
    [answering('{"Id"'), /not JSON/],
    [answering('[]'), /can't be read: the answer/],
    [answering(containerJson(OTHER)), /another container/],
    [(response) => response.writeHead(500).end('hunter2'), /status 500/],
    [(response) => response.writeHead(301, { location: 'http://elsewhere' }).end(), /status 301/],
    [(response) => response.socket!.destroy(), /ECONNRESET, it cut/],
    [(response) => response.socket!.end('hunter2 is not HTTP\r\n\r\n'), /not HTTP/],
    [
      (response) => response.writeHead(200, { 'content-length': '900' }).write('{', () => response.destroy()),
      /ECONNRESET/,
    ],
    [answering(containerJson(ID, { State: { Running: true, Pid: 2 ** 22 + 1 } })), /pid: host/],
  ];
  for (const [answer, message] of cases) {
    engine.answer = answer;
    await assert.rejects(containers.get(ID), (error: Error & { code: string }) => {
      assert.equal(error.code, FAILED);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  }
  engine.answer = answering(containerJson(ID));
  assert.equal((await containers.get(ID))!.name, 'web-1', 'and it recovers');
});

test('a container of which there is too much to read fails without a question until it changes', async (t) => {
  const labels = Object.fromEntries(Array.from({ length: 90_000 }, (_, at) => [String(at), '']));
  const tooMuch: readonly [string | Record<string, unknown>, RegExp][] = [
    [
      containerJson(ID, { Config: { Image: 'x', Labels: labels } }),
      /more than 20000 members, up to its Config\.Labels/,
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
    assert.throws(() => containers.remembered(ID), { code: FAILED });
    clock.advance(REMEMBERED_MS);
    await rejects();
    assert.equal(containers.inspections, 2);
    engine.answer = answering(containerJson(ID));
    engine.tell({ Type: 'container', Action: 'start', Actor: { ID } });
    while ((await containers.get(ID).catch(() => undefined)) === undefined) await new Promise(setImmediate);
    assert.equal(containers.inspections, 3);
  }
});

test('a container that the engine does not know is none, and is asked about each time', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = (response) => response.writeHead(404).end('{"message":"No such container"}');
  assert.equal(await containers.get(ID), undefined);
  assert.equal(await containers.get(ID), undefined);
  assert.equal(containers.inspections, 2);
});

test('a connection that the engine closed while it was kept is no failure', async (t) => {
  const { containers, engine } = await start(t);
  engine.answer = answering(containerJson(ID));
  await containers.get(ID);
  let connections = 0;
  engine.answer = (response, request) => {
    connections += 1;
    if (connections === 1) response.socket!.destroy();
    else answering(containerJson(OTHER))(response, request);
  };
  assert.equal((await containers.get(OTHER))!.id, OTHER);
  assert.equal(connections, 2);
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
  const { containers, engine, clock } = await start(t, { wantImageDigests: () => wanted });
  const digest = `sha256:${'9e'.repeat(32)}`;
  engine.answer = (response, request) =>
    request.url!.startsWith('/images/')
      ? response.end(JSON.stringify({ RepoDigests: [`envoy@${digest}`] }))
      : response.end(JSON.stringify(containerJson(ID)));
  assert.equal((await containers.get(ID))!.imageDigests, undefined);
  wanted = true;
  assert.deepEqual((await containers.get(ID))!.imageDigests, [digest]);
  await containers.get(ID);
  const container = `/containers/${ID}/json`;
  assert.deepEqual(engine.asked, [container, container, `/images/${IMAGE_ID}/json`]);

  clock.advance(REMEMBERED_MS);
  engine.answer = (response, request) => {
    if (request.url!.startsWith('/images/')) response.writeHead(404).end('{}');
    else response.end(JSON.stringify(containerJson(ID)));
  };
  assert.deepEqual((await containers.get(ID))!.imageDigests, [], 'an image that was deleted under its container');

  clock.advance(REMEMBERED_MS);
  const { promise: hanging, resolve } = Promise.withResolvers<void>();
  engine.answer = (response, request) => {
    if (request.url!.startsWith('/images/')) resolve();
    else response.end(JSON.stringify(containerJson(ID)));
  };
  const rejected = assert.rejects(containers.get(ID), { code: FAILED, message: /within 1000 ms/ });
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
  assert.equal((await containers.get(ID))!.name, 'web-1', 'asked before it tells events, too');
  clock.advance(100);
  await until(() => containers.remembering);
});

test('a file that is no socket fails and says so', async (t) => {
  const file = path.join(tempDir(t), 'engine.sock');
  writeFileSync(file, '');
  const { log } = recordingLog();
  const engine = createEngine(file);
  const containers = new Containers({ engine, clock: new TestClock(), log, wantImageDigests: () => false });
  t.after(() => containers.close());
  await assert.rejects(containers.get(ID), { code: FAILED, message: /ECONNREFUSED|ENOTSOCK/ });
});

test('who wants to know is told of a change once what was remembered is forgotten, and of no harmless event', async (t) => {
  const told: boolean[] = [];
  let containers: Containers | undefined;
  const onChange = () => told.push(containers?.remembered(ID) === undefined);
  const setting = await start(t, { onChange });
  ({ containers } = setting);
  await containers.get(ID);
  assert.deepEqual(told.splice(0), [true], 'the events began');
  setting.engine.tell({ Type: 'container', Action: 'exec_start: sh', Actor: { ID } });
  setting.engine.tell({ Type: 'container', Action: 'health_status: healthy', Actor: { ID } });
  setting.engine.tell({ Type: 'network', Action: 'connect', Actor: { ID: OTHER, Attributes: { container: ID } } });
  await until(() => told.length > 0);
  assert.deepEqual(told.splice(0), [true]);
  setting.engine.cut();
  await until(() => told.length > 0);
});
