import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import type * as grpc from '@grpc/grpc-js';
import { type Clock, SystemClock } from '../../src/base/clock.ts';
import { currentTurn } from '../../src/base/turn.ts';
import { Status as RpcStatus } from '../../src/gen/google/rpc/status.ts';
import { MemoryBudget, type MemoryLimits, memoryLimits } from '../../src/limits/memory.ts';
import { Account, type Owner, Owners } from '../../src/limits/owner.ts';
import { Quota, type QuotaLimits } from '../../src/limits/quota.ts';
import { Turns } from '../../src/limits/turns.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { CALL_BYTES } from '../../src/wire/call.ts';
import {
  type BidirectionalMethod,
  type Call,
  type Metadata,
  type Method,
  type ServerStreamMethod,
  Status,
  StatusError,
  type Stream,
  type UnaryMethod,
} from '../../src/wire/types.ts';
import { createWire, type Wire } from '../../src/wire/wire.ts';
import { endAfter, startCaller } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import {
  callHeaders,
  dataFrames,
  END_HEADERS,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  headerBlock,
  RawClient,
  resetStream,
  uint32,
} from '../support/http2-frames.ts';
import { openDescriptors, startPipe, type TestPipe } from '../support/pipe.ts';
import { QUOTA_LIMITS } from '../support/quota-limits.ts';
import { recordingLog } from '../support/recording-log.ts';
import { WireClient } from '../support/wire-client.ts';

interface Harness {
  readonly path: string;
  readonly wire: Wire;
  readonly pipe: TestPipe;
  readonly lines: Record<string, unknown>[];
  client(options?: grpc.ChannelOptions): WireClient;
}

interface Options {
  readonly clock?: Clock;
  readonly limits?: Partial<QuotaLimits & MemoryLimits>;
  readonly counters?: Counters;
  readonly quota?: Quota;
  readonly turns?: Turns;
}

/** On a busy machine work may wait for its turn, but tests rely on work being done before a PING is answered. */
class OpenTurns extends Turns {
  override isOpen(): boolean {
    return true;
  }
}

/** Delays all work to a later turn, as for an owner that causes much work. */
class ClosedTurns extends Turns {
  override isOpen(): boolean {
    return false;
  }
}

async function startWire(t: TestContext, methods: Method[], options: Options = {}): Promise<Harness> {
  const { log, lines } = recordingLog();
  const clock: Clock = options.clock ?? new SystemClock();
  const counters = options.counters ?? new Counters();
  const quota = options.quota ?? new Quota({ ...QUOTA_LIMITS, ...options.limits }, counters);
  const memory = new MemoryBudget({ ...memoryLimits(), ...options.limits }, new Owners(), counters);
  const wire = createWire({ methods, log, clock, quota, memory, turns: options.turns ?? new OpenTurns() });
  const pipe = await startPipe(t, { log, onConnection: (socket, peer, reading) => wire.inject(socket, peer, reading) });
  t.after(() => wire.close(0));
  return {
    path: pipe.path,
    wire,
    pipe,
    lines,
    client(clientOptions) {
      const client = new WireClient(pipe.path, clientOptions);
      t.after(() => client.close());
      return client;
    },
  };
}

/** Records the events of a stream's handler and answers each message with itself. */
interface Recorder {
  readonly method: BidirectionalMethod;
  readonly events: string[];
  readonly streams: Stream[];
  /** Resolves when this many streams have closed. */
  closed(count: number): Promise<void>;
}

const RECORD = '/test.Test/Record';

function recorder(
  onMessage: (stream: Stream, text: string) => void = (stream, said) => stream.send(Buffer.from(said)),
): Recorder {
  const events: string[] = [];
  const streams: Stream[] = [];
  let notify = Promise.withResolvers<void>();
  return {
    events,
    streams,
    async closed(count) {
      while (events.filter((event) => event === 'closed').length < count) await notify.promise;
    },
    method: {
      path: RECORD,
      kind: 'bidirectional',
      open(stream) {
        streams.push(stream);
        return {
          message(bytes) {
            events.push(`message ${Buffer.from(bytes)}`);
            onMessage(stream, Buffer.from(bytes).toString());
          },
          halfClose: () => void events.push('half close'),
          closed() {
            events.push('closed');
            notify.resolve();
            notify = Promise.withResolvers();
          },
        };
      },
    },
  };
}

/** A server stream that sends the request with a number, and ends after the last one unless told otherwise. */
function countTo(last: number, end = (stream: Stream) => stream.end(Status.OK, '')): ServerStreamMethod {
  return {
    path: '/test.Test/Count',
    kind: 'server-stream',
    open(stream, request) {
      for (let number = 1; number <= last; number += 1) stream.send([request, Buffer.from(` ${number}`)]);
      end(stream);
      return { closed() {} };
    },
  };
}

const echo: UnaryMethod = { path: '/test.Test/Echo', kind: 'unary', call: async (_peer, request) => request };

test('bytes are sent and received undecoded, in streams and unary calls', async (t) => {
  const record = recorder();
  const { client } = await startWire(t, [record.method, echo]);
  const one = client();
  const stream = one.stream(RECORD);
  stream.send('\u0000ä');
  assert.equal(await stream.receive(), '\u0000ä');
  stream.send('');
  assert.equal(await stream.receive(), '');
  assert.deepEqual(await one.unary(echo.path, Buffer.from([0, 255])), Buffer.from([0, 255]));
  assert.deepEqual(await one.unary(echo.path), Buffer.alloc(0));
});

test('a method that streams answers one request with several messages, and is told once that the call is over', async (t) => {
  const count = countTo(3);
  let closed = 0;
  const held = countTo(1, () => undefined);
  const open: ServerStreamMethod['open'] = (stream, request, metadata) => {
    held.open(stream, request, metadata);
    return {
      closed() {
        closed += 1;
      },
    };
  };
  const { client, wire } = await startWire(t, [count, { ...held, path: '/test.Test/Held', open }]);
  const one = client();
  const stream = one.stream(count.path);
  stream.send('number');
  stream.call.end();
  for (const number of [1, 2, 3]) assert.equal(await stream.receive(), `number ${number}`);
  assert.equal((await stream.status).code, Status.OK);

  const staying = one.stream('/test.Test/Held');
  staying.send('number');
  staying.call.end();
  assert.equal(await staying.receive(), 'number 1');
  assert.equal(wire.streamCount, 1);
  staying.call.cancel();
  while (wire.streamCount > 0) await new Promise(setImmediate);
  assert.equal(closed, 1);
});

test('a method of one request starts when the request has ended', async (t) => {
  const started: string[] = [];
  const count = countTo(1);
  const methods: Method[] = [
    {
      ...echo,
      call: async (_call, request) => {
        started.push('unary');
        return request;
      },
    },
    {
      ...count,
      open(stream, request, metadata) {
        started.push('server-stream');
        return count.open(stream, request, metadata);
      },
    },
  ];
  const { path } = await startWire(t, methods);
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  for (const [at, method] of methods.entries()) {
    raw.write(callHeaders(1 + 2 * at, method.path), dataFrames(1 + 2 * at, grpcMessage(Buffer.from('x'))));
  }
  await raw.ping();
  assert.deepEqual(started, []);
  for (const stream of [1, 3]) raw.write(dataFrames(stream, Buffer.alloc(0), END_STREAM));
  await raw.ping();
  assert.deepEqual(started, ['unary', 'server-stream']);
});

test('a message stays as it is after others have come', async (t) => {
  const kept: Uint8Array[] = [];
  const keeping: Method = {
    path: '/test.Test/Keep',
    kind: 'bidirectional',
    open: (stream) => ({
      message(bytes) {
        kept.push(bytes);
        stream.send(Buffer.from('kept'));
      },
      halfClose() {},
      closed() {},
    }),
  };
  const keepingOne: Method = {
    path: '/test.Test/KeepOne',
    kind: 'unary',
    async call(_call, request) {
      kept.push(request);
      return Buffer.from('kept');
    },
  };
  const { client } = await startWire(t, [keeping, keepingOne]);
  const [one, other] = [client(), client()];
  const stream = one.stream(keeping.path);
  // Small ones come in one chunk, large ones in several.
  const sizes = [10, 61_000, 61_000, 300, 61_000, 200_000, 61_000];
  for (const [number, size] of sizes.entries()) {
    stream.send(Buffer.alloc(size, number));
    await stream.receive();
    await other.unary(keepingOne.path, Buffer.alloc(size, 100 + number));
  }
  const expected = sizes.flatMap((size, number) => [Buffer.alloc(size, number), Buffer.alloc(size, 100 + number)]);
  assert.deepEqual(
    kept.map((bytes) => Buffer.from(bytes)),
    expected,
  );
});

test('methods of all kinds see the metadata of their call', async (t) => {
  const seen: Metadata[] = [];
  const record = recorder();
  const methods: Method[] = [
    {
      ...echo,
      call: async (_call, request, metadata) => {
        seen.push(metadata);
        return request;
      },
    },
    {
      ...countTo(1),
      open(stream, request, metadata) {
        seen.push(metadata);
        return countTo(1).open(stream, request, metadata);
      },
    },
    {
      path: RECORD,
      kind: 'bidirectional',
      open(stream, metadata) {
        seen.push(metadata);
        return record.method.open(stream, metadata);
      },
    },
  ];
  const { path } = await startWire(t, methods);
  const session = http2.connect('http://pipe', { createConnection: () => net.connect(path) });
  t.after(() => session.destroy());
  for (const method of methods) {
    const custom = { 'Workload.Spiffe.Io': 'true', 'x-bin': ['AQI', 'AwQ='], two: ['1', '2'] };
    const type = { 'content-type': 'application/grpc', 'grpc-timeout': '1H' };
    const request = session.request({ ':method': 'POST', ':path': method.path, ...type, ...custom });
    request.on('error', () => {}).end(framed(Buffer.from('x')));
    await once(request, 'response');
    request.close();
  }
  for (const metadata of seen) {
    assert.deepEqual(metadata.names().sort(), ['two', 'workload.spiffe.io', 'x-bin']);
    assert.deepEqual(metadata.texts('workload.spiffe.io'), ['true']);
    assert.deepEqual(metadata.texts('two'), ['1', '2']);
    assert.deepEqual(metadata.bytes('x-bin'), [Buffer.from([1, 2]), Buffer.from([3, 4])]);
  }
  assert.equal(seen.length, methods.length);
});

test('malformed metadata refuses the call of a method that reads it, and metadata is limited', async (t) => {
  const reading: Method = {
    ...echo,
    call: async (_call, request, metadata) => {
      metadata.bytes('x-bin');
      return request;
    },
  };
  const { path } = await startWire(t, [reading]);
  const valid = framed(Buffer.from('x'));
  const with_ = (headers: http2.OutgoingHttpHeaders) => rawStatus(t, path, { ':path': echo.path, ...headers }, valid);
  assert.equal(await with_({ 'x-bin': 'AQ' }), `${Status.OK}`);
  assert.equal(await with_({ 'x-bin': '!' }), `${Status.INTERNAL}`);
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-${at}`, 'y']));
  assert.equal(await with_(many(100)), `${Status.OK}`);
  // A stream is reset, or never opened, since the client knows the limit.
  assert.equal(await with_(many(130)).catch(() => undefined), undefined);
  assert.equal(await with_({ x: 'y'.repeat(10_000) }), `${Status.OK}`);
  // Before the client has confirmed the limit, the request is refused with a status, later the stream is reset.
  const status = await with_({ x: 'y'.repeat(20_000) }).catch(() => undefined);
  assert.ok(status === undefined || status === `${Status.RESOURCE_EXHAUSTED}`, `${status}`);
});

test('a status has details, and reaches clients however long it is', async (t) => {
  const details = [{ typeUrl: 'type.googleapis.com/a.B', value: Buffer.from('why') }];
  const failing: Method = {
    path: '/test.Test/Unary',
    kind: 'unary',
    async call() {
      throw new StatusError(Status.PERMISSION_DENIED, `no ${'ä'.repeat(20_000)} (decision d-1)`, { details });
    },
  };
  const ending: Method = {
    path: '/test.Test/Stream',
    kind: 'bidirectional',
    open(stream) {
      stream.send(Buffer.from('before'));
      stream.end(Status.ABORTED, 'enough', details);
      return { message() {}, halfClose() {}, closed() {} };
    },
  };
  const { client } = await startWire(t, [failing, ending]);
  const refused = await client()
    .unary(failing.path)
    .then(
      () => assert.fail('not refused'),
      (error: grpc.ServiceError) => error,
    );
  assert.equal(refused.code, Status.PERMISSION_DENIED);
  assert.match(refused.details, /^no ä+…ä+ \(decision d-1\)$/);
  const ended = await client().stream(ending.path).status;
  assert.deepEqual([ended.code, ended.details], [Status.ABORTED, 'enough']);
  for (const { metadata, code } of [refused, ended]) {
    const [bytes] = metadata.get('grpc-status-details-bin');
    const status = RpcStatus.decode(bytes as Buffer);
    assert.equal(status.code, code);
    assert.deepEqual(
      status.details.map(({ typeUrl, value }) => [typeUrl, value.toString()]),
      [['type.googleapis.com/a.B', 'why']],
    );
  }
});

test('a Uint8Array that is a slice of a larger buffer is sent as the slice', async (t) => {
  const record = recorder((stream) =>
    stream.send(new Uint8Array(new TextEncoder().encode('a secret b')).subarray(2, 8)),
  );
  const { client } = await startWire(t, [record.method]);
  const stream = client().stream(RECORD);
  stream.send('?');
  assert.equal(await stream.receive(), 'secret');
});

test('a message may be given in any number of parts', async (t) => {
  const parts = Array<Buffer>(300_000).fill(Buffer.from('ab'));
  const record = recorder((stream) => stream.send(parts));
  const { client } = await startWire(t, [record.method]);
  const stream = client().stream(RECORD);
  stream.send('?');
  assert.equal(await stream.receive(), 'ab'.repeat(300_000));
});

test('each of 200 connections from 4 processes has the right peer', async (t) => {
  const record = recorder((stream) => stream.send(Buffer.from(`${stream.peer.credentials.pid}`)));
  const { path, wire, pipe } = await startWire(t, [record.method]);
  const program = fileURLToPath(new URL('../support/wire-client-program.ts', import.meta.url));
  const children = Array.from({ length: 4 }, () => {
    const child = spawn(process.execPath, [program, path, RECORD, '50'], { stdio: ['ignore', 'pipe', 'inherit'] });
    endAfter(t, child);
    return { pid: child.pid, said: text(child.stdout) };
  });
  for (const { pid, said } of children) {
    assert.deepEqual(JSON.parse(await said), Array(50).fill(`${pid}`));
  }
  await record.closed(200);
  assert.equal(new Set(record.streams.map(({ peer }) => peer.id)).size, 200);
  while (pipe.pipe.connectionCount > 0) await new Promise(setImmediate);
  assert.equal(wire.streamCount, 0);
});

test('a handler is told of the half close, and last and once of the end', async (t) => {
  const record = recorder();
  const { client, wire } = await startWire(t, [record.method]);
  const stream = client().stream(RECORD);
  stream.send('hello');
  await stream.receive();
  assert.equal(wire.streamCount, 1);
  stream.call.end();
  while (!record.events.includes('half close')) await new Promise(setImmediate);
  record.streams[0]!.send(Buffer.from('still heard'));
  assert.equal(await stream.receive(), 'still heard');
  record.streams[0]!.end(Status.OK, '');
  record.streams[0]!.end(Status.INTERNAL, 'too late');
  record.streams[0]!.send(Buffer.from('too late'));
  assert.equal((await stream.status).code, Status.OK);
  await record.closed(1);
  while (wire.streamCount > 0) await new Promise(setImmediate);
  assert.deepEqual(record.events, ['message hello', 'half close', 'closed']);
});

test('the client gets the status of the handler after all messages', async (t) => {
  const record = recorder((stream) => {
    stream.send(Buffer.from('last words'));
    stream.end(Status.INVALID_ARGUMENT, 'no: "ä", 100 %, \ud800');
    stream.send(Buffer.from('too late'));
    stream.end(Status.OK, '');
  });
  const { client } = await startWire(t, [record.method]);
  const stream = client().stream(RECORD);
  stream.send('hello');
  assert.equal(await stream.receive(), 'last words');
  const { code, details } = await stream.status;
  assert.equal(code, Status.INVALID_ARGUMENT);
  assert.equal(details, 'no: "ä", 100 %, \ufffd');
  await record.closed(1);
  assert.deepEqual(record.events, ['message hello', 'closed']);
});

test('a client that cancels or disappears ends its streams', async (t) => {
  const record = recorder();
  const { client, path } = await startWire(t, [record.method]);
  const cancelling = client().stream(RECORD);
  cancelling.send('1');
  await cancelling.receive();
  cancelling.call.cancel();
  await record.closed(1);

  const caller = startCaller(t);
  await caller.tell('connect', path);
  await caller.tell('stream', RECORD);
  caller.tellLast('exit');
  await record.closed(2);
  assert.equal(record.events.filter((event) => event === 'closed').length, 2);
});

test('a handler that throws ends only its own call, and the client does not get the reason', async (t) => {
  const failing: Method[] = [
    {
      path: '/test.Test/Open',
      kind: 'bidirectional',
      open() {
        throw new Error('a secret');
      },
    },
    {
      path: '/test.Test/Message',
      kind: 'bidirectional',
      open: () => ({
        message() {
          throw new Error('a secret');
        },
        halfClose() {},
        closed() {
          throw new Error('a secret, again');
        },
      }),
    },
    {
      path: '/test.Test/Unary',
      kind: 'unary',
      call() {
        throw new Error('a secret');
      },
    },
    {
      path: '/test.Test/Rejected',
      kind: 'unary',
      call: () => Promise.reject(new Error('a secret')),
    },
  ];
  const { client, lines } = await startWire(t, [...failing, echo]);
  const one = client();
  for (const path of ['/test.Test/Open', '/test.Test/Message']) {
    const stream = one.stream(path);
    stream.send('hello');
    const { code, details } = await stream.status;
    assert.deepEqual([code, details], [Status.INTERNAL, 'Sidekey failed; its log has the reason']);
  }
  for (const path of ['/test.Test/Unary', '/test.Test/Rejected']) {
    await assert.rejects(one.unary(path), { code: Status.INTERNAL, details: 'Sidekey failed; its log has the reason' });
  }
  assert.deepEqual(await one.unary(echo.path, Buffer.from('fine')), Buffer.from('fine'));
  const logged = lines.filter(({ level }) => level === 50).map(({ method }) => method);
  assert.deepEqual(logged, [
    '/test.Test/Open',
    '/test.Test/Message',
    '/test.Test/Message',
    '/test.Test/Unary',
    '/test.Test/Rejected',
  ]);
});

test('the client gets the status of a StatusError', async (t) => {
  const refuse = (): never => {
    throw new StatusError(Status.NOT_FOUND, 'there is nothing for you');
  };
  const { client } = await startWire(t, [
    { path: '/test.Test/Unary', kind: 'unary', call: async () => refuse() },
    { path: '/test.Test/Stream', kind: 'bidirectional', open: refuse },
  ]);
  await assert.rejects(client().unary('/test.Test/Unary'), {
    code: Status.NOT_FOUND,
    details: 'there is nothing for you',
  });
  const { code, details } = await client().stream('/test.Test/Stream').status;
  assert.deepEqual([code, details], [Status.NOT_FOUND, 'there is nothing for you']);
});

test('an unknown method is UNIMPLEMENTED', async (t) => {
  const { client } = await startWire(t, [echo]);
  await assert.rejects(client().unary('/test.Test/Nothing'), { code: Status.UNIMPLEMENTED });
  assert.equal((await client().stream('/test.Test/Nothing').status).code, Status.UNIMPLEMENTED);
});

test('a message may have up to 1 MiB, and must not be compressed', async (t) => {
  const { client, path } = await startWire(t, [echo, recorder().method]);
  const megabyte = 1024 * 1024;
  assert.equal((await client().unary(echo.path, Buffer.alloc(megabyte))).length, megabyte);
  await assert.rejects(client().unary(echo.path, Buffer.alloc(megabyte + 1)), { code: Status.RESOURCE_EXHAUSTED });
  const stream = client().stream(RECORD);
  stream.send(Buffer.alloc(megabyte + 1));
  assert.equal((await stream.status).code, Status.RESOURCE_EXHAUSTED);

  const bomb = gzipSync(Buffer.alloc(64 * megabyte));
  assert.equal(await rawStatus(t, path, { ':path': echo.path, 'grpc-encoding': 'gzip' }, framed(bomb, true)), '12');
  assert.equal(await rawStatus(t, path, { ':path': echo.path }, framed(bomb.subarray(0, 9), true)), '13');
});

function framed(message: Buffer, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The grpc-status for a client that writes its own frames; undefined if the stream was just closed. */
async function rawStatus(
  t: TestContext,
  path: string,
  headers: http2.OutgoingHttpHeaders,
  body: Buffer,
): Promise<unknown> {
  const session = http2.connect('http://pipe', { createConnection: () => net.connect(path) });
  session.on('error', () => {});
  t.after(() => session.destroy());
  const request = session.request({
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let status: unknown;
  request.on('error', () => {});
  request.on('response', (response) => {
    status ??= response['grpc-status'] ?? (response[':status'] === 200 ? undefined : response[':status']);
  });
  request.on('trailers', (trailers) => {
    status ??= trailers['grpc-status'];
  });
  request.resume();
  if (request.writable) request.end(body);
  await once(request, 'close');
  return status;
}

test('no request, however malformed, crashes the server', async (t) => {
  const record = recorder();
  const { client, path } = await startWire(t, [echo, record.method]);
  const valid = framed(Buffer.from('x'));
  const requests: [http2.OutgoingHttpHeaders, Buffer][] = [
    [{ ':path': echo.path, 'content-type': 'text/plain' }, valid],
    [{ ':path': echo.path, ':method': 'GET' }, Buffer.alloc(0)],
    [{ ':path': '/' }, valid],
    [{ ':path': '/%ff%00%0d%0a' }, valid],
    [{ ':path': '/\u00ff\u00e4' }, valid],
    [{ ':path': `/${'a'.repeat(10_000)}` }, valid],
    [{ ':path': echo.path, 'grpc-timeout': 'never' }, valid],
    [{ ':path': echo.path, 'grpc-timeout': '99999999H' }, valid],
    [{ ':path': echo.path, 'grpc-encoding': 'gzip' }, framed(Buffer.from('not gzip'), true)],
    [{ ':path': echo.path, 'grpc-encoding': 'gzip' }, framed(gzipSync('cut').subarray(0, 9), true)],
    [{ ':path': echo.path, 'grpc-encoding': 'br' }, framed(Buffer.from('x'), true)],
    [{ ':path': echo.path, 'x-bin': '!!', 'y-bin': 'a,b', 'grpc-trace-bin': ',' }, valid],
    [{ ':path': echo.path }, Buffer.concat([valid, valid])],
    [{ ':path': echo.path }, Buffer.alloc(0)],
    [{ ':path': echo.path }, Buffer.from([7, 0, 0, 0, 1, 0])],
    [{ ':path': echo.path }, Buffer.from([0, 255, 255, 255, 255, 0])],
    [{ ':path': RECORD }, Buffer.from([0, 255, 255, 255, 255, 0])],
    [{ ':path': RECORD, 'grpc-encoding': 'gzip' }, framed(Buffer.from('not gzip'), true)],
  ];
  for (const [headers, body] of requests) await rawStatus(t, path, headers, body);
  const garbage = net.connect(path);
  garbage.on('error', () => {});
  garbage.resume();
  garbage.write('GET / HTTP/1.1\r\n\r\n');
  await once(garbage, 'close');
  assert.deepEqual(await client().unary(echo.path, Buffer.from('alive')), Buffer.from('alive'));
});

test('a uid has a limited number of streams, and may open another when one ends', async (t) => {
  const record = recorder();
  const { client, wire } = await startWire(t, [record.method], { limits: { callsPerUid: 2 } });
  const streams = [client().stream(RECORD), client().stream(RECORD)];
  for (const stream of streams) {
    stream.send('hello');
    await stream.receive();
  }
  const refused = await client().stream(RECORD).status;
  assert.equal(refused.code, Status.RESOURCE_EXHAUSTED);
  assert.match(refused.details, /has 2 streams open/);
  streams[0]!.call.cancel();
  await record.closed(1);
  assert.equal(wire.streamCount, 1);
  const next = client().stream(RECORD);
  next.send('hello');
  assert.equal(await next.receive(), 'hello');
});

test('a uid that sends too many requests gets an error with the limit', async (t) => {
  const record = recorder();
  const clock = new TestClock();
  const { client } = await startWire(t, [record.method, echo], { clock, limits: { requestsPerSecondPerUid: 3 } });
  const one = client();
  const stream = one.stream(RECORD);
  for (const said of ['1', '2', '3']) {
    stream.send(said);
    assert.equal(await stream.receive(), said);
  }
  await assert.rejects(one.unary(echo.path), {
    code: Status.RESOURCE_EXHAUSTED,
    details: /limit of 3 requests per second/,
  });
  stream.send('4');
  const { code, details } = await stream.status;
  assert.equal(code, Status.RESOURCE_EXHAUSTED);
  assert.match(details, /limit of 3 requests per second/);
  clock.advance(1_000);
  await one.unary(echo.path);
});

test('when the process that connected ends, its streams end and its connection closes, even if another process has the socket', async (t) => {
  const record = recorder();
  // The clock stands still: nothing here depends on time.
  const { path, pipe, wire } = await startWire(t, [record.method], { clock: new TestClock() });
  const caller = startCaller(t);
  await caller.tell('connect', path);
  const { socket } = await pipe.next();
  await caller.tell('stream', RECORD);
  // From now on the child also reads from the parent's socket.
  await caller.tell('share');
  assert.equal(wire.streamCount, 1);
  const cut = once(socket, 'close');
  caller.tellLast('exit');
  await record.closed(1);
  await cut;
  assert.equal(wire.streamCount, 0);
  assert.ok(record.streams[0]!.peer.gone);
});

test('the socket of an ended process is closed in time when its new owner does not read', async (t) => {
  const record = recorder((stream) => stream.send(Buffer.alloc(8 * 1024 * 1024)));
  const clock = new TestClock();
  const { path, pipe } = await startWire(t, [record.method], { clock });
  const caller = startCaller(t);
  await caller.tell('connect', path);
  const { socket } = await pipe.next();
  const holder = await caller.tell('share', '/bin/sleep', '1000');
  t.after(() => process.kill(holder as number));
  await caller.tell('stall', RECORD);
  const cut = once(socket, 'close');
  caller.tellLast('exit');
  await record.closed(1);
  assert.equal(socket.destroyed, false);
  clock.advance(500);
  await cut;
});

test('on shutdown every call gets UNAVAILABLE after its messages, and every connection closes', async (t) => {
  const record = recorder();
  const pending = Promise.withResolvers<Uint8Array>();
  const called = Promise.withResolvers<void>();
  const slow: Method = {
    path: '/test.Test/Slow',
    kind: 'unary',
    call: () => {
      called.resolve();
      return pending.promise;
    },
  };
  const { client, wire, pipe } = await startWire(t, [record.method, slow], { clock: new TestClock() });
  const streams = Array.from({ length: 20 }, () => client().stream(RECORD));
  for (const stream of streams) {
    stream.send('hello');
    await stream.receive();
  }
  const unary = assert.rejects(client().unary(slow.path), {
    code: Status.UNAVAILABLE,
    details: 'Sidekey is shutting down',
  });
  await called.promise;
  const idle = net.connect(pipe.path);
  await once(idle, 'connect');
  const idleClosed = once(idle, 'close');
  idle.resume();

  for (const stream of record.streams) stream.send(Buffer.from('last words'));
  pipe.pipe.server.close();
  // The clock stands still: only the clients can end the shutdown.
  const closed = wire.close(60_000);
  for (const stream of streams) {
    assert.equal(await stream.receive(), 'last words');
    const { code, details } = await stream.status;
    assert.deepEqual([code, details], [Status.UNAVAILABLE, 'Sidekey is shutting down']);
  }
  await unary;
  await Promise.all([closed, idleClosed]);
  await record.closed(20);
  assert.equal(wire.streamCount, 0);
  pending.resolve(Buffer.alloc(0));
});

test('on shutdown a client that does not read is disconnected after the grace period', async (t) => {
  const record = recorder((stream) => stream.send(Buffer.alloc(8 * 1024 * 1024)));
  const clock = new TestClock();
  const { path, wire, pipe } = await startWire(t, [record.method], { clock });
  const caller = startCaller(t);
  await caller.tell('connect', path);
  const { socket } = await pipe.next();
  await caller.tell('stall', RECORD);
  const closed = wire.close(60_000);
  await record.closed(1);
  clock.advance(59_999);
  assert.equal(socket.destroyed, false);
  clock.advance(1);
  await closed;
  assert.equal(socket.destroyed, true);
});

test('a connection that arrives during shutdown is closed', async (t) => {
  const { wire, path } = await startWire(t, [echo]);
  await wire.close(0);
  await wire.close(0);
  const late = net.connect(path);
  late.on('error', () => {});
  await once(late, 'close');
});

test('clients that connect and disconnect leave no file descriptor open', async (t) => {
  const record = recorder();
  const { client, pipe } = await startWire(t, [record.method]);
  const visit = async () => {
    const one = client();
    const stream = one.stream(RECORD);
    stream.send('hello');
    await stream.receive();
    stream.call.cancel();
    one.close();
  };
  await visit();
  while (pipe.pipe.connectionCount > 0) await new Promise(setImmediate);
  const before = openDescriptors();
  for (let at = 0; at < 100; at += 1) await visit();
  while (pipe.pipe.connectionCount > 0) await new Promise(setImmediate);
  assert.equal(openDescriptors(), before);
});

test('a client without gRPC gets an HTTP status, and one with compression gets the supported encoding', async (t) => {
  const { path } = await startWire(t, [echo]);
  const valid = framed(Buffer.from('x'));
  assert.equal(await rawStatus(t, path, { ':path': echo.path, ':method': 'PUT' }, valid), 405);
  assert.equal(await rawStatus(t, path, { ':path': echo.path, 'content-type': 'text/plain' }, valid), 415);
  const session = http2.connect('http://pipe', { createConnection: () => net.connect(path) });
  t.after(() => session.destroy());
  const encoding = { 'content-type': 'application/grpc', 'grpc-encoding': 'zstd' };
  const request = session.request({ ':method': 'POST', ':path': echo.path, ...encoding });
  request.on('error', () => {});
  const [headers] = (await once(request, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(headers['grpc-status'], `${Status.UNIMPLEMENTED}`);
  assert.equal(headers['grpc-accept-encoding'], 'identity');
});

test('a call with invalid bytes, or a wrong number of messages, ends with a status that says so', async (t) => {
  const valid = framed(Buffer.from('x'));
  const { INTERNAL, UNIMPLEMENTED, OK } = Status;
  let calls = 0;
  const counted: Method = {
    path: '/test.Test/Counted',
    kind: 'unary',
    call: async (_call, request) => {
      calls += 1;
      return request;
    },
  };
  const counting: Method = { ...countTo(3), path: '/test.Test/Counting' };
  const { path } = await startWire(t, [echo, recorder().method, counted, counting]);
  const cases: [path: string, body: Buffer, status: number][] = [
    [echo.path, valid, OK],
    [counting.path, valid, OK],
    [RECORD, framed(Buffer.from('x'), true), INTERNAL],
    [RECORD, Buffer.from([7, 0, 0, 0, 1, 0]), INTERNAL],
    [RECORD, valid.subarray(0, 5), INTERNAL],
    [RECORD, Buffer.concat([valid, valid.subarray(0, 3)]), INTERNAL],
    [echo.path, valid.subarray(0, 5), INTERNAL],
    [counting.path, valid.subarray(0, 5), INTERNAL],
    [counted.path, Buffer.alloc(0), UNIMPLEMENTED],
    [counted.path, Buffer.concat([valid, valid]), UNIMPLEMENTED],
    [counting.path, Buffer.alloc(0), UNIMPLEMENTED],
    [counting.path, Buffer.concat([valid, valid]), UNIMPLEMENTED],
  ];
  for (const [method, body, status] of cases) {
    assert.equal(await rawStatus(t, path, { ':path': method }, body), `${status}`, `${method} ${body.toString('hex')}`);
  }
  assert.equal(calls, 0, 'no method is called with a wrong number of messages');
});

test('a handler that ends its stream on opening is told that it closed', async (t) => {
  const closed = Promise.withResolvers<void>();
  const open = (stream: Stream) => {
    stream.end(Status.NOT_FOUND, 'nothing');
    return { message() {}, halfClose() {}, closed: closed.resolve };
  };
  const { client } = await startWire(t, [{ path: RECORD, kind: 'bidirectional', open }]);
  assert.equal((await client().stream(RECORD).status).code, Status.NOT_FOUND);
  await closed.promise;
});

test('a call ends with DEADLINE_EXCEEDED when the timeout of its client has passed, and not before', async (t) => {
  const clock = new TestClock();
  const record = recorder();
  const late = Promise.withResolvers<Uint8Array>();
  const slow: Method = { path: '/test.Test/Slow', kind: 'unary', call: () => late.promise };
  const count = countTo(1, () => undefined);
  const { path, wire } = await startWire(t, [record.method, slow, count, echo], { clock });
  const session = http2.connect('http://pipe', { createConnection: () => net.connect(path) });
  t.after(() => session.destroy());
  const open = (method: string, timeout: string) => {
    const type = { 'content-type': 'application/grpc', 'grpc-timeout': timeout };
    const request = session.request({ ':method': 'POST', ':path': method, ...type }, { endStream: false });
    request.on('error', () => {}).write(framed(Buffer.from('x')));
    if (method !== RECORD) request.end();
    const received: Buffer[] = [];
    request.on('data', (bytes: Buffer) => received.push(bytes));
    return { request, received };
  };
  const stream = open(RECORD, '5S');
  const unary = open(slow.path, '6000m');
  const serverStream = open(count.path, '6S');
  const patient = open(RECORD, '1H');
  while (stream.received.length + patient.received.length + serverStream.received.length < 3)
    await new Promise(setImmediate);
  assert.equal(wire.streamCount, 3);

  const trailers = once(stream.request, 'trailers');
  clock.advance(4_999);
  await new Promise<void>((resolve) => session.ping(() => resolve()));
  assert.equal(record.events.includes('closed'), false);
  clock.advance(1);
  assert.equal(((await trailers) as http2.IncomingHttpHeaders[])[0]!['grpc-status'], `${Status.DEADLINE_EXCEEDED}`);
  await record.closed(1);
  const response = once(unary.request, 'response');
  const lastTrailers = once(serverStream.request, 'trailers');
  clock.advance(1_000);
  assert.equal(((await lastTrailers) as http2.IncomingHttpHeaders[])[0]!['grpc-status'], `${Status.DEADLINE_EXCEEDED}`);
  assert.equal(((await response) as http2.IncomingHttpHeaders[])[0]!['grpc-status'], `${Status.DEADLINE_EXCEEDED}`);
  late.resolve(Buffer.from('too late'));
  assert.equal(record.events.filter((event) => event === 'closed').length, 1);
  assert.equal(unary.received.length, 0);
});

test('a client that does not answer a PING within 20 s is disconnected; others stay', async (t) => {
  const clock = new TestClock();
  const { path, pipe } = await startWire(t, [echo], { clock });
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  const { socket } = await pipe.next();
  const pings = () => raw.frames.filter(({ type, flags }) => type === FrameType.PING && flags === 0);
  await raw.ping();
  clock.advance(59_999);
  await raw.ping();
  assert.equal(pings().length, 0);
  clock.advance(1);
  const ping = await raw.frame(({ type, flags }) => type === FrameType.PING && flags === 0);
  raw.write(frame(FrameType.PING, 1, 0, ping.payload));
  await raw.ping();
  clock.advance(60_000);
  await raw.ping();
  assert.equal(pings().length, 2);
  clock.advance(19_999);
  await raw.ping();
  assert.equal(socket.destroyed, false);
  clock.advance(1);
  await raw.closed;
});

test('the memory of calls and unfinished messages of an owner is limited, and released when they end', async (t) => {
  const record = recorder();
  const counters = new Counters();
  const limits = { memoryPerOwner: 2 * CALL_BYTES + 130_000 };
  const { path, client } = await startWire(t, [record.method], { limits, counters });
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  const begun = grpcMessage(Buffer.alloc(60_000)).subarray(0, 10_000);
  for (const stream of [1, 3]) raw.write(callHeaders(stream, RECORD), dataFrames(stream, begun));
  const refused = await raw.frame(({ type, stream }) => type === FrameType.HEADERS && stream === 3);
  assert.equal(refused.flags & END_STREAM, END_STREAM);
  assert.equal(counters.get('memory_refused_total'), 1);
  // A message in one chunk needs no memory.
  const small = client().stream(RECORD);
  small.send('small');
  assert.equal(await small.receive(), 'small');
  raw.write(resetStream(1), callHeaders(5, RECORD), dataFrames(5, grpcMessage(Buffer.alloc(60_000))));
  await raw.frame(({ type, stream }) => type === FrameType.DATA && stream === 5);
});

test('a handler that waits is told when its call ends, and can charge no more memory then', async (t) => {
  const found: unknown[] = [];
  const rejected = async (call: Call) => {
    const waited = await call.untilEnd(new Promise<never>(() => undefined)).catch((error: unknown) => error);
    found.push(waited);
    for (const more of [async () => call.hold(1), () => call.untilEnd(Promise.resolve())]) {
      found.push(await more().catch((error: unknown) => error));
    }
  };
  const owners: Owner[] = [];
  const unary: UnaryMethod = {
    path: '/test.Test/Unary',
    kind: 'unary',
    async call(call, request) {
      owners.push(call.peer.owner);
      assert.equal(await call.untilEnd(Promise.resolve('work')), 'work');
      await assert.rejects(call.untilEnd(Promise.reject(new Error('fails'))), /fails/);
      await rejected(call);
      return request;
    },
  };
  const record: BidirectionalMethod = {
    path: RECORD,
    kind: 'bidirectional',
    open(stream) {
      void rejected(stream);
      const message = () => stream.send(Buffer.from('open'));
      return { message, halfClose() {}, closed: () => void found.push('closed') };
    },
  };
  const { client, path } = await startWire(t, [unary, record]);
  const raw = await RawClient.begin(path);
  raw.write(callHeaders(1, unary.path), dataFrames(1, grpcMessage(Buffer.from('x')), END_STREAM));
  await raw.ping();
  raw.write(resetStream(1));
  while (found.length < 3) await new Promise(setImmediate);
  const stream = client().stream(RECORD);
  stream.send('x');
  await stream.receive();
  stream.call.cancel();
  while (found.length < 7) await new Promise(setImmediate);
  // The handler first knows of the end, then its waits end.
  assert.equal(found.splice(3, 1)[0], 'closed');
  for (const error of found) assert.equal((error as StatusError).status, Status.CANCELLED);
  raw.destroy();
  const [account] = owners[0]!.accounts;
  while (account.calls > 0) await new Promise(setImmediate);
  assert.deepEqual([account.heldBytes, account.holders.size], [0, 0]);
});

/** What a server stream and a bidirectional one keep open. */
const staying: readonly Method[] = [
  { path: '/test.Test/Stay', kind: 'server-stream', open: () => ({ closed() {} }) },
  { path: '/test.Test/StayBoth', kind: 'bidirectional', open: () => ({ message() {}, halfClose() {}, closed() {} }) },
];

test('the headers of a request do not stay in memory for the length of its call', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { path, wire } = await startWire(t, [...staying]);
  const streams = 500;
  /** The memory of a stream, in bytes. */
  const measure = async (method: Method, headers: readonly (readonly [string, string])[]): Promise<number> => {
    const raw = await RawClient.begin(path);
    const before = await used();
    for (let at = 0; at < streams; at += 1) {
      raw.write(
        callHeaders(1 + 2 * at, method.path, headers),
        dataFrames(1 + 2 * at, grpcMessage(Buffer.alloc(1)), END_STREAM),
      );
      if (at % 50 === 0) await raw.ping();
    }
    await raw.ping();
    const after = await used();
    raw.destroy();
    while (wire.streamCount > 0) await new Promise(setImmediate);
    return (after - before) / streams;
  };
  const used = async () => {
    // Twice, because buffers are freed a turn after their collection.
    for (let time = 0; time < 2; time += 1) {
      collect();
      await new Promise(setImmediate);
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const value = 'y'.repeat(14_000);
  for (const method of staying) {
    await measure(method, []);
    const [small, large] = [await measure(method, []), await measure(method, [['x-large', value]])];
    t.diagnostic(`${method.kind}: ${small} bytes a stream, ${large} with large headers`);
    assert.ok(large < small + 4_000, `${large} bytes with large headers, ${small} without`);
  }
});

test('the headers of a request are charged to its owner as long as they are kept', async (t) => {
  const { path, pipe } = await startWire(t, [...staying, echo]);
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  const [account] = (await pipe.next()).peer.owner.accounts;
  const held = async () => {
    await raw.ping();
    return account.heldBytes - CALL_BYTES * account.calls;
  };
  const value = 'y'.repeat(10_000);
  for (const [at, path] of ['/test.Test/Stay', echo.path].entries()) {
    raw.write(callHeaders(1 + 2 * at, path, [['x-large', value]]));
    const whileKept = await held();
    assert.ok(whileKept > 10_000 && whileKept < 11_000, `${path}: ${whileKept} bytes`);
    raw.write(dataFrames(1 + 2 * at, grpcMessage(Buffer.alloc(0)), END_STREAM));
    assert.ok((await held()) < 100, `${path}: ${await held()} bytes after it has started`);
  }
  raw.write(callHeaders(5, '/test.Test/StayBoth', [['x-large', value]]));
  assert.ok((await held()) < 100);
  // node:http2 keeps these two of each stream.
  for (const [id, name] of [
    [7, ':scheme'],
    [9, ':authority'],
  ] as const) {
    const before = await held();
    const headers = { ':method': 'POST', ':scheme': 'http', ':path': '/test.Test/StayBoth', ':authority': 'x' };
    const block = Object.entries({ ...headers, [name]: value, 'content-type': 'application/grpc' });
    raw.write(frame(FrameType.HEADERS, END_HEADERS, id, headerBlock(block)));
    const more = (await held()) - before;
    assert.ok(more >= 10_000 && more < 10_100, `${name}: ${more} bytes`);
  }
});

test('a stream whose client gives no window delays no other client, and disappears on any kind of reset', async (t) => {
  const record = recorder((stream) => stream.send(Buffer.alloc(256 * 1024)));
  const { path, wire, client } = await startWire(t, [record.method, echo]);
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  const ask = (stream: number) => dataFrames(stream, grpcMessage(Buffer.from('x')));
  // The second message waits: while a client does not read, its requests are not read.
  for (const stream of [1, 3]) raw.write(callHeaders(stream, RECORD), ask(stream), ask(stream));
  raw.write(callHeaders(5, echo.path), dataFrames(5, grpcMessage(Buffer.from('x')), END_STREAM));
  await raw.ping();
  assert.equal(record.events.length, 2);
  assert.deepEqual(await client().unary(echo.path, Buffer.from('alive')), Buffer.from('alive'));
  assert.equal(wire.streamCount, 2);
  raw.write(resetStream(1, http2.constants.NGHTTP2_NO_ERROR), resetStream(3, http2.constants.NGHTTP2_CANCEL));
  await record.closed(2);
  while (wire.streamCount > 0) await new Promise(setImmediate);
  assert.deepEqual(record.events, ['message x', 'message x', 'closed', 'closed']);
});

/** The id of the first stream on a connection. */
const message = (said: string) => dataFrames(1, grpcMessage(Buffer.from(said)));

test('a deferred connection is not read from until it is resumed, while others are', async (t) => {
  const { method, events, streams } = recorder();
  const { path } = await startWire(t, [method]);
  const [one, other] = [await RawClient.begin(path), await RawClient.begin(path)];
  for (const client of [one, other]) t.after(() => client.destroy());
  one.write(callHeaders(1, RECORD), message('first'));
  await one.ping();
  const [stream] = streams;
  stream!.connection.defer();
  one.write(message('second'));
  other.write(callHeaders(1, RECORD), message('third'));
  await other.ping();
  await other.ping();
  assert.deepEqual(events, ['message first', 'message third']);
  // Output to a deferred connection is still sent.
  stream!.send(Buffer.from('pushed'));
  await one.frame(({ type, payload }) => type === FrameType.DATA && payload.includes('pushed'));
  stream!.connection.resume();
  await one.ping();
  assert.deepEqual(events, ['message first', 'message third', 'message second']);
});

test('a deferred connection is still not read after its resumption while its client does not read', async (t) => {
  const { method, events, streams } = recorder(() => undefined);
  const { path } = await startWire(t, [method]);
  const [deaf, other] = [await RawClient.begin(path), await RawClient.begin(path)];
  for (const client of [deaf, other]) t.after(() => client.destroy());
  // The windows are unlimited, so that the socket's buffer fills.
  const window = Buffer.concat([Buffer.of(0, 4), uint32(0x7fff_ffff)]);
  deaf.write(frame(FrameType.SETTINGS, 0, 0, window), frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(0x7fff_0000)));
  deaf.write(callHeaders(1, RECORD), message('first'));
  await deaf.ping();
  deaf.socket.pause();
  const { connection } = streams[0]!;
  streams[0]!.send(Buffer.alloc(4 * 1024 * 1024));
  connection.defer();
  await other.ping();
  connection.resume();
  // Frames of an unknown type, which HTTP/2 ignores.
  for (let i = 0; i < 256; i += 1) deaf.write(frame(0xfa, 0, 0, Buffer.alloc(16_384)));
  deaf.write(message('second'));
  const unsent = deaf.socket.writableLength;
  for (let i = 0; i < 100; i += 1) await other.ping();
  const taken = unsent - deaf.socket.writableLength;
  assert.ok(taken < 1024 * 1024, `${taken} of ${unsent} bytes were taken`);
  assert.deepEqual(events, ['message first']);
  deaf.socket.resume();
  await deaf.ping();
  assert.deepEqual(events, ['message first', 'message second']);
});

test('a deferred connection that its client closes is gone when it is resumed', async (t) => {
  const { method, streams, closed } = recorder();
  const { path } = await startWire(t, [method]);
  const client = await RawClient.begin(path);
  client.write(callHeaders(1, RECORD), message('first'));
  await client.ping();
  const { peer, connection } = streams[0]!;
  connection.defer();
  client.destroy();
  connection.resume();
  await closed(1);
  await new Promise<void>((resolve) => peer.onGone(resolve));
  // Nothing remains to be read from a closed connection.
  connection.defer();
  connection.resume();
});

test('messages in one frame wait while their client does not read', async (t) => {
  const record = recorder((stream, said) => stream.send(Buffer.alloc(said === 'large' ? 128 * 1024 : 1)));
  const { path } = await startWire(t, [record.method]);
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  const messages = ['large', 'second', 'third'].map((said) => grpcMessage(Buffer.from(said)));
  raw.write(callHeaders(1, RECORD), dataFrames(1, Buffer.concat(messages)));
  await raw.ping();
  assert.deepEqual(record.events, ['message large']);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(1024 * 1024);
  raw.write(frame(FrameType.WINDOW_UPDATE, 0, 0, window), frame(FrameType.WINDOW_UPDATE, 0, 1, window));
  while (record.events.length < 3) await raw.ping();
  assert.deepEqual(record.events, ['message large', 'message second', 'message third']);
});

for (const [form, frames] of [
  [
    'frames of their own',
    (messages: Buffer[]) => messages.map((message, at) => dataFrames(1, message, flagsOf(messages, at))),
  ],
  ['one frame', (messages: Buffer[]) => [dataFrames(1, Buffer.concat(messages), END_STREAM)]],
] as const) {
  test(`messages in ${form} that wait for their turn also wait while their client does not read, and keep their order`, async (t) => {
    const record = recorder((stream, said) => stream.send(Buffer.alloc(said === 'large' ? 128 * 1024 : 1)));
    const { path } = await startWire(t, [record.method], { turns: new ClosedTurns() });
    const raw = await RawClient.begin(path);
    t.after(() => raw.destroy());
    const said = ['large', ...Array.from({ length: 100 }, (_, at) => `${at}`)];
    raw.write(callHeaders(1, RECORD), ...frames(said.map((text) => grpcMessage(Buffer.from(text)))));
    while (record.events.length === 0) await raw.ping();
    for (let at = 0; at < 20; at += 1) await raw.ping();
    assert.deepEqual(record.events, ['message large']);
    const window = uint32(1024 * 1024);
    raw.write(frame(FrameType.WINDOW_UPDATE, 0, 0, window), frame(FrameType.WINDOW_UPDATE, 0, 1, window));
    while (record.events.length < 102) await raw.ping();
    assert.deepEqual(record.events, [...said.map((text) => `message ${text}`), 'half close']);
  });
}

/** The last message ends the request. */
function flagsOf(messages: Buffer[], at: number): number {
  return at === messages.length - 1 ? END_STREAM : 0;
}

test('a client that is refused again and again without reading has its streams closed', async (t) => {
  const limits = { callsPerUid: 1, refusedStreamsPerUid: 10 };
  const { path } = await startWire(t, [echo], { limits });
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  raw.socket.pause();
  // More than the socket's buffer, so that refusals wait.
  for (let at = 0; at < 4_000; at += 1) raw.write(callHeaders(1 + 2 * at, `/${at}/${'x'.repeat(200)}`));
  // The server stops reading from a client that does not read; until then some requests are accepted.
  const written = async () => {
    const before = raw.socket.writableLength;
    for (let at = 0; at < 20; at += 1) await new Promise(setImmediate);
    return raw.socket.writableLength === before;
  };
  while (!(await written()));
  raw.socket.resume();
  const reset = await raw.frame(
    ({ type, payload }) =>
      type === FrameType.RST_STREAM && payload.readUInt32BE() === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM,
  );
  assert.ok(reset.stream > 20, `stream ${reset.stream}`);
});

test('streams that arrive at once on many connections of one owner are opened over several turns of the event loop', async (t) => {
  const [clients, burst] = [40, 200];
  const opened = new Map<number, number>();
  class CountingQuota extends Quota {
    override openStream(owner: Owner): boolean {
      opened.set(currentTurn(), (opened.get(currentTurn()) ?? 0) + 1);
      return super.openStream(owner);
    }
  }
  const turns = new Turns();
  const { path } = await startWire(t, [echo], { quota: new CountingQuota(QUOTA_LIMITS, new Counters()), turns });
  // Another owner shares the time, since an owner alone may use more.
  const other = new Account('other');
  const timer = setInterval(() => turns.measure(other, () => undefined), 5);
  t.after(() => clearInterval(timer));
  const raws = await Promise.all(Array.from({ length: clients }, () => RawClient.begin(path)));
  for (const raw of raws) t.after(() => raw.destroy());
  await Promise.all(raws.map((raw) => raw.ping()));
  const headers = Buffer.concat(Array.from({ length: burst }, (_, at) => callHeaders(1 + 2 * at, '/none')));
  for (const raw of raws) raw.write(headers);
  // All connections are read from eventually.
  await Promise.all(raws.map((raw) => raw.ping()));
  const counts = [...opened.values()];
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    clients * burst,
  );
  assert.ok(Math.max(...counts) < (clients * burst) / 4, `${Math.max(...counts)} in one turn`);
});

test('a client that keeps sending invalid headers is disconnected, since their cost is charged to nobody', async (t) => {
  const { path } = await startWire(t, [echo]);
  const raw = await RawClient.begin(path);
  t.after(() => raw.destroy());
  // Headers without an authority: Node opens and closes a stream without telling the server.
  const headers = headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/'],
  ]);
  for (let at = 0; at < 20; at += 1) raw.write(frame(FrameType.HEADERS, END_STREAM | END_HEADERS, 1 + 2 * at, headers));
  const answered = raw.ping().then(
    () => 'goes on',
    () => 'is cut off',
  );
  assert.equal(await Promise.race([raw.closed.then(() => 'is cut off'), answered]), 'is cut off');
});
