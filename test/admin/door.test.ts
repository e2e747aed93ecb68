import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type ServerResponse } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createDoor } from '../../src/admin/door.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';
import { tempDir } from '../support/temp-dir.ts';

async function open(t: Parameters<typeof tempDir>[0]) {
  const clock = new TestClock();
  const responses: ServerResponse[] = [];
  const asked = Promise.withResolvers<void>();
  const { log, lines } = recordingLog();
  const door = createDoor({
    name: 'TCP',
    counters: new Counters(),
    callerOf: () => ({ via: 'tcp', address: '127.0.0.1' }),
    handle: (request, response) => {
      if (request.headers.authorization !== undefined) door.admit(request.socket);
      responses.push(response);
      asked.resolve();
    },
    maxConnections: 3,
    clock,
    log,
  });
  const socketPath = path.join(tempDir(t), 'door.sock');
  door.server.listen(socketPath);
  await once(door.server, 'listening');
  t.after(() => {
    door.server.closeAllConnections();
    door.server.close();
  });
  return { clock, door, lines, responses, asked: asked.promise, socketPath };
}

describe('a client of another protocol', () => {
  const send = async (socketPath: string, bytes: Buffer) => {
    const client = net.connect(socketPath);
    client.write(bytes);
    let answer = '';
    client.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    await once(client, 'close');
    return answer;
  };

  test('gets a sentence, and so does the log, but not for each client', async (t) => {
    const { lines, socketPath, clock } = await open(t);
    const hello = Buffer.from('160301020001000001fc0303', 'hex');
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    for (const bytes of [hello, hello]) assert.match(await send(socketPath, bytes), /^HTTP\/1\.1 400 .*use an http:/s);
    clock.advance(10_000);
    assert.match(await send(socketPath, preface), /use the pipe/);
    assert.match(await send(socketPath, Buffer.from('hello\r\n\r\n')), /^HTTP\/1\.1 400 .*not an HTTP\/1\.1 request/s);
    assert.deepEqual(
      lines.map(({ protocol }) => protocol),
      ['TLS', 'HTTP/2'],
    );
  });

  test('gets the status that tells too large headers apart', async (t) => {
    const { socketPath } = await open(t);
    const large = Buffer.from(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`);
    assert.match(await send(socketPath, large), /^HTTP\/1\.1 431 /);
  });
});

describe('a door that closes', () => {
  test('lets the running request end and takes no new one', async (t) => {
    const { door, responses, asked, socketPath } = await open(t);
    const answered = once(request({ socketPath, agent: new Agent({ keepAlive: true }) }).end(), 'response');
    await asked;
    const closed = door.close();
    await assert.rejects(once(net.connect(socketPath), 'connect'), /ENOENT|ECONNREFUSED/);
    responses[0]!.end('done');
    const [response] = await answered;
    response.resume();
    assert.equal(response.statusCode, 200);
    await closed;
  });

  test('cuts what is left after a second', async (t) => {
    const { clock, door, asked, socketPath } = await open(t);
    const cut = assert.rejects(once(request({ socketPath, agent: false }).end(), 'response'), /socket hang up/);
    await asked;
    const closed = door.close();
    clock.advance(999);
    assert.equal(clock.pending, 1);
    clock.advance(1);
    await cut;
    await closed;
  });

  test('does not wait for idle connections, and leaves no deadline behind', async (t) => {
    const { clock, door, responses, asked, socketPath } = await open(t);
    const agent = new Agent({ keepAlive: true });
    const answered = once(request({ socketPath, agent }).end(), 'response');
    await asked;
    responses[0]!.end();
    const [response] = await answered;
    response.resume();
    await once(response, 'end');
    await door.close();
    assert.equal(clock.pending, 0);
  });

  test('closes when it never opened, and when its server was closed before', async (t) => {
    const never = createDoor({
      name: 'TCP',
      counters: new Counters(),
      callerOf: () => ({ via: 'tcp', address: '127.0.0.1' }),
      handle: () => {},
      maxConnections: 1,
      clock: new TestClock(),
      log: recordingLog().log,
    });
    await never.close();
    const { door } = await open(t);
    door.server.close();
    await door.close();
  });
});

describe('a door with as many connections as it may have', () => {
  test('cuts the oldest that has shown no right to be there, and says so once in ten seconds', async (t) => {
    const { clock, lines, responses, socketPath } = await open(t);
    const right = new Agent({ keepAlive: true });
    t.after(() => right.destroy());
    const ask = async () => {
      const answered = once(
        request({ socketPath, agent: right, headers: { authorization: 'Bearer x' } }).end(),
        'response',
      );
      while (responses.length === 0) await new Promise(setImmediate);
      responses.shift()!.end('done');
      const [response] = await answered;
      response.resume();
      await once(response, 'end');
    };
    await ask();
    const order: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      const idle = net.connect(socketPath);
      t.after(() => idle.destroy());
      idle.on('close', () => order.push(i)).on('error', () => undefined);
      await once(idle, 'connect');
    }
    while (order.length < 8) await new Promise(setImmediate);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7]);
    await ask();
    assert.equal(lines.length, 1);
    assert.match(String(lines[0]!.msg), /adminMaxConnections/);
    clock.advance(10_000);
    const another = net.connect(socketPath);
    t.after(() => another.destroy());
    while (lines.length < 2) await new Promise(setImmediate);
  });

  test('lets nobody in where all are of those who may', async (t) => {
    const { responses, socketPath } = await open(t);
    const running = Array.from({ length: 3 }, () => request({ socketPath, headers: { authorization: 'x' } }).end());
    for (const one of running) one.on('error', () => undefined);
    while (responses.length < 3) await new Promise(setImmediate);
    const late = net.connect(socketPath);
    late.on('error', () => undefined);
    await new Promise((resolve) => late.once('close', resolve));
    for (const response of responses) assert.ok(!response.destroyed);
  });
});

describe('a door that waits for a request', { concurrency: true }, () => {
  const SLOW: Readonly<Record<string, string>> = {
    'that does not begin': '',
    'whose headers do not end': 'GET / HTTP/1.1\r\nHost: x\r\n',
  };
  for (const [what, text] of Object.entries(SLOW)) {
    test(`cuts it after some seconds: one ${what}`, { timeout: 20_000 }, async (t) => {
      const { socketPath } = await open(t);
      const slow = net.connect(socketPath);
      slow.on('error', () => undefined).resume();
      slow.write(text);
      const drip = setInterval(() => text !== '' && slow.write('x: y\r\n'), 500);
      t.after(() => clearInterval(drip));
      await new Promise((resolve) => slow.once('close', resolve));
    });
  }
});
