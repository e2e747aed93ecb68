/**
 * Clients that no library would be, against a real `bin/sidekey serve`. After each of them an honest stream that was
 * there before still gets its pushes, and a new client is served.
 */

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { after, afterEach, before, describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { startCaller } from '../support/caller.ts';
import {
  callHeaders,
  dataFrames,
  END_HEADERS,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  headerBlock,
  PREFACE,
  RawClient,
  resetStream,
} from '../support/http2-frames.ts';
import { descriptorsOf, memoryOf, until } from '../support/process-state.ts';
import { chainOf, namesOf, SdsClient, type SdsStream, SECRET_TYPE, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const API = `spiffe://${TRUST_DOMAIN}/api`;
const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
const STREAM = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';

/** Descriptors that come and go without us: kept connections of the admin API, files that are read. */
const OTHERS = 6;

let server: Served;
/** The server's descriptors with the honest client alone. */
let quiet: number;
let webEntry: string;
let honest: SdsStream;
let honestClient: SdsClient;
let changes = 0;
const cleanup: (() => unknown)[] = [];
const later: TestContext['after'] = (step) => void cleanup.push(step as () => unknown);

async function entry(on: Served, spiffeId: string): Promise<string> {
  const { status, body } = await on.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors: MINE });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

/** A change reaches the honest stream, and one who comes new is served. */
async function stillServes(): Promise<void> {
  changes += 1;
  const dns = `change-${changes}.ilinux.io`;
  assert.equal((await server.request('PATCH', `/v1/entries/${webEntry}`, { dns_names: [dns] })).status, 200);
  const pushed = await honest.next();
  honest.ack(pushed);
  assert.match(chainOf(secretOf(pushed, WEB))[0]!.subjectAltName!, new RegExp(dns.replaceAll('.', '\\.')));
  const fresh = new SdsClient(server.socket);
  assert.deepEqual(namesOf(await fresh.fetch({ resourceNames: [WEB] })), [WEB]);
  fresh.close();
}

function request(given: Parameters<typeof DiscoveryRequest.fromPartial>[0]): Buffer {
  return Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(given)).finish());
}

before(async () => {
  server = await serve(
    { after: later },
    {
      logLevel: 'info',
      // Held small, so that garbage does not pass for a leak.
      nodeFlags: ['--max-old-space-size=48'],
    },
  );
  webEntry = await entry(server, WEB);
  honestClient = new SdsClient(server.socket);
  honest = honestClient.stream();
  honest.ask(WEB);
  honest.ack(await honest.next());
  quiet = await descriptorsOf(server);
});
after(async () => {
  honest.cancel();
  honestClient.close();
  for (const step of cleanup.reverse()) await step();
});
afterEach(stillServes);

describe('bytes that are no HTTP/2', { timeout: 60_000 }, () => {
  const settings = Buffer.concat([PREFACE, frame(FrameType.SETTINGS, 0, 0)]);
  const wrong: Record<string, Buffer> = {
    'an HTTP/1.1 request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'a TLS hello': Buffer.from('16030100c8010000c40303', 'hex'),
    'a megabyte of zeros': Buffer.alloc(1024 * 1024),
    noise: Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 197 + 91) & 255)),
    'a preface that goes wrong at its end': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r!'),
    'a first frame that is not SETTINGS': Buffer.concat([PREFACE, callHeaders(1, STREAM)]),
    'SETTINGS of five bytes': Buffer.concat([PREFACE, frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5))]),
    'a frame longer than may be': Buffer.concat([settings, Buffer.from('ffffff000100000001', 'hex'), Buffer.alloc(99)]),
    'HEADERS that are no HPACK': Buffer.concat([settings, frame(1, END_HEADERS, 1, Buffer.alloc(64, 255))]),
    'HEADERS on an even stream': Buffer.concat([settings, callHeaders(2, STREAM)]),
    'DATA on stream 0': Buffer.concat([settings, frame(FrameType.DATA, 0, 0, Buffer.alloc(8))]),
    'CONTINUATION of nothing': Buffer.concat([
      settings,
      frame(FrameType.CONTINUATION, 4, 1, headerBlock([['a', 'b']])),
    ]),
    'a window beyond its limit': Buffer.concat([settings, frame(8, 0, 0, Buffer.from('7fffffff', 'hex'))]),
    'a PUSH_PROMISE': Buffer.concat([settings, callHeaders(1, STREAM), frame(5, 4, 1, Buffer.from('00000002', 'hex'))]),
  };
  for (const [sentence, bytes] of Object.entries(wrong)) {
    it(`${sentence}: the connection is closed`, async () => {
      const client = await RawClient.connect(server.socket);
      client.write(bytes);
      await client.closed;
    });
  }

  it('cut off anywhere, by a client that goes away, leaves nothing behind', async () => {
    const whole = Buffer.concat([
      settings,
      callHeaders(1, STREAM),
      dataFrames(1, grpcMessage(request({ typeUrl: SECRET_TYPE, resourceNames: [WEB] }))),
    ]);
    for (let end = 0; end < whole.length; end += 7) {
      const client = await RawClient.connect(server.socket);
      await new Promise((resolve) => client.socket.write(whole.subarray(0, end), resolve));
      client.destroy();
    }
    await until(async () => (await descriptorsOf(server)) <= quiet + OTHERS);
  });
});

/** What a client that writes its own gRPC gets as status and message; undefined where the stream was just closed. */
async function call(
  path: string,
  body: Buffer,
  headers: http2.OutgoingHttpHeaders = {},
): Promise<{ status: string | undefined; message: string }> {
  const session = http2.connect('http://pipe', { createConnection: () => net.connect(server.socket) });
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let found: { status: string | undefined; message: string } = { status: undefined, message: '' };
  const look = (block: http2.IncomingHttpHeaders) => {
    if (block['grpc-status'] === undefined) return;
    found = { status: String(block['grpc-status']), message: decodeURI(String(block['grpc-message'] ?? '')) };
  };
  stream.on('error', () => undefined);
  stream.on('response', look).on('trailers', look).resume();
  stream.end(body);
  await new Promise((resolve) => stream.once('close', resolve));
  session.destroy();
  return found;
}

/** A request whose node's metadata is a list in a list in a list; written from its end. */
function deepNode(depth: number): Buffer {
  const bytes = Buffer.alloc(1024 * 1024);
  let at = bytes.length;
  const wrap = (field: number) => {
    const head = new BinaryWriter()
      .uint32(field * 8 + 2)
      .uint32(bytes.length - at)
      .finish();
    at -= head.length;
    bytes.set(head, at);
  };
  for (let level = 0; level < depth; level += 1) {
    wrap(1); // ListValue.values
    wrap(6); // Value.list_value
  }
  wrap(2); // the value in an entry of Struct.fields
  wrap(1); // Struct.fields
  wrap(3); // Node.metadata
  wrap(2); // DiscoveryRequest.node
  return bytes.subarray(at);
}

describe('requests that are odd', { timeout: 60_000 }, () => {
  const OK = '0';
  const INVALID_ARGUMENT = '3';
  const RESOURCE_EXHAUSTED = '8';
  const UNIMPLEMENTED = '12';
  const names = (count: number) => Array.from({ length: count }, (_, i) => `spiffe://${TRUST_DOMAIN}/n/${i}`);
  const good = request({ resourceNames: [WEB] });

  const cases: [
    sentence: string,
    body: Buffer,
    status: string,
    message: RegExp,
    headers?: http2.OutgoingHttpHeaders,
  ][] = [
    ['with every field absent is one for everything', grpcMessage(Buffer.alloc(0)), OK, /^$/],
    [
      'of another type is refused by its name',
      grpcMessage(request({ typeUrl: 'a.b/C' })),
      INVALID_ARGUMENT,
      /"a\.b\/C"/,
    ],
    [
      'of a node whose version is set but empty is served',
      grpcMessage(request({ resourceNames: [WEB], node: { userAgentBuildVersion: {} } })),
      OK,
      /^$/,
    ],
    [
      'for 10,000 names is served what is there',
      grpcMessage(request({ resourceNames: [...names(9_999), WEB] })),
      OK,
      /^$/,
    ],
    [
      'for 10,001 names is told the limit',
      grpcMessage(request({ resourceNames: names(10_001) })),
      INVALID_ARGUMENT,
      /10001 names; the limit is 10000/,
    ],
    [
      'for a name of nearly 1 MiB is told the limit',
      grpcMessage(request({ resourceNames: ['x'.repeat(1024 * 1024 - 100)] })),
      INVALID_ARGUMENT,
      /has 1048476 characters; the limit is 2048/,
    ],
    [
      'of more than 1 MiB is told the limit',
      grpcMessage(request({ resourceNames: ['x'.repeat(1024 * 1024)] })),
      RESOURCE_EXHAUSTED,
      /1048576/,
    ],
    [
      'of a node with lists in lists, 60,000 deep, is refused',
      grpcMessage(deepNode(60_000)),
      INVALID_ARGUMENT,
      /not a valid Node/,
    ],
    [
      'that is garbage is refused',
      grpcMessage(Buffer.alloc(99, 255)),
      INVALID_ARGUMENT,
      /not a valid DiscoveryRequest/,
    ],
    [
      'in gzip is refused by the name of its encoding',
      grpcMessage(gzipSync(good), true),
      UNIMPLEMENTED,
      /grpc-encoding "gzip" is not supported/,
      { 'grpc-encoding': 'gzip' },
    ],
    [
      'in an encoding that nobody knows is refused by its name',
      grpcMessage(good, true),
      UNIMPLEMENTED,
      /grpc-encoding "zstd" is not supported/,
      { 'grpc-encoding': 'zstd' },
    ],
  ];
  for (const [sentence, body, status, message, headers] of cases) {
    it(`a request ${sentence}`, async () => {
      const found = await call(FETCH, body, headers);
      assert.equal(found.status, status, found.message);
      assert.match(found.message, message);
    });
  }

  it('a method that is not there is UNIMPLEMENTED', async () => {
    for (const path of [
      '/',
      '/x',
      '/envoy.service.secret.v3.SecretDiscoveryService/DropSecrets',
      '/a.B/StreamSecrets',
    ]) {
      assert.equal((await call(path, grpcMessage(good))).status, UNIMPLEMENTED, path);
    }
  });

  it('any :authority is served, as those of grpc-core, which sends the path of the socket', async () => {
    const encoded = encodeURIComponent(server.socket);
    for (const authority of [encoded, 'localhost', 'evil.example:443', '[::1]', '%2F']) {
      assert.equal((await call(FETCH, grpcMessage(good), { ':authority': authority })).status, OK, authority);
    }
  });
});

describe('clients that behave badly', { timeout: 120_000 }, () => {
  it('one that connects and says nothing is left alone, and gone when it goes', async () => {
    const idle = await Promise.all(Array.from({ length: 50 }, () => RawClient.connect(server.socket)));
    // Each costs its socket and a pidfd.
    await until(async () => (await descriptorsOf(server)) >= quiet + 100 - OTHERS);
    await stillServes();
    for (const client of idle) client.destroy();
    await until(async () => (await descriptorsOf(server)) <= quiet + OTHERS);
  });

  it('one that half-closes its connection is let go', async () => {
    const client = await RawClient.begin(server.socket);
    client.write(callHeaders(1, STREAM), dataFrames(1, grpcMessage(request({ resourceNames: [WEB] }))));
    await client.frame(({ type, stream }) => type === FrameType.DATA && stream === 1);
    client.socket.end();
    await client.closed;
  });

  it('one that half-closes its stream has the rest of it and its end', async () => {
    const client = await RawClient.begin(server.socket);
    client.write(callHeaders(1, STREAM), dataFrames(1, grpcMessage(request({ resourceNames: [WEB] })), END_STREAM));
    await client.frame(
      ({ type, stream, flags }) => type === FrameType.HEADERS && stream === 1 && (flags & END_STREAM) !== 0,
    );
    client.destroy();
  });

  it('one that resets its streams as fast as it opens them is cut off', async () => {
    const client = await RawClient.begin(server.socket);
    for (let batch = 0; batch < 400 && !client.socket.closed; batch += 1) {
      const streams = Array.from({ length: 250 }, (_, at) => 1 + 2 * (batch * 250 + at));
      // In one write: a later one that fails would end the connection before the GOAWAY is read.
      client.write(...streams.flatMap((stream) => [callHeaders(stream, STREAM), resetStream(stream)]));
      await client.ping().catch(() => undefined);
    }
    const goaway = client.frames.find(({ type }) => type === FrameType.GOAWAY);
    assert.ok(goaway !== undefined);
    await client.closed;
  });

  it('one that never reads gets no more than a few answers, however often it asks', async (t) => {
    const own = await serve(t);
    await entry(own, WEB);
    await entry(own, API);
    const other = new SdsClient(own.socket);
    t.after(() => other.close());
    // From now on both are there, and answers come at once.
    await other.fetch({ resourceNames: [WEB, API] });
    const client = await RawClient.begin(own.socket);
    t.after(() => client.destroy());
    const ask = (name: string, responseNonce: string) =>
      dataFrames(1, grpcMessage(request({ resourceNames: [name], responseNonce })));
    client.write(callHeaders(1, STREAM), ask(WEB, ''));
    const first = await client.frame(({ type, stream }) => type === FrameType.DATA && stream === 1);
    // The nonces of the answers that it doesn't read are easily guessed; it gives no window for them.
    const nonce = /[0-9a-f]{8}\.\d+\.(?=1)/.exec(first.payload.toString('latin1'))![0];
    const asked = 500;
    for (let at = 1; at <= asked; at += 1) client.write(ask(at % 2 === 1 ? API : WEB, `${nonce}${at}`));
    await client.ping();
    // Whatever the server would do of itself, it has done when it has served somebody else, several times.
    for (let at = 0; at < 5; at += 1) await other.fetch({ resourceNames: [WEB] });
    const sent = own.log.filter(({ msg }) => msg === 'sent').length;
    t.diagnostic(`${sent} answers made`);
    assert.ok(sent < 100, `${sent} answers made for ${asked} requests`);
  });

  for (const [sentence, path, body] of [
    ['whose calls end here and never there', STREAM, grpcMessage(request({ typeUrl: 'a.b/C' }))],
    ['that calls methods that are not there', '/a.B/C', grpcMessage(Buffer.alloc(0))],
  ] as const) {
    it(`one ${sentence} has them closed`, async () => {
      const client = await RawClient.begin(server.socket);
      client.write(callHeaders(1, path), dataFrames(1, body));
      const reset = await client.frame(({ type, stream }) => type === FrameType.RST_STREAM && stream === 1);
      assert.equal(reset.payload.readUInt32BE(), 0, 'NO_ERROR');
      const end = client.frames.findIndex(
        ({ type, flags }) => type === FrameType.HEADERS && (flags & END_STREAM) !== 0,
      );
      assert.ok(
        end !== -1 && end < client.frames.findIndex(({ type }) => type === FrameType.RST_STREAM),
        'after its status',
      );
      client.destroy();
    });
  }

  it('one that begins calls and never ends their requests has as many as a uid may have calls', async () => {
    const own = await serve(
      { after: later },
      {
        logLevel: 'info',
        flags: ['--max-streams-per-uid', '10'],
      },
    );
    const client = await RawClient.begin(own.socket);
    const streams = Array.from({ length: 1_100 }, (_, at) => 1 + 2 * at);
    for (const stream of streams) client.write(callHeaders(stream, FETCH));
    await client.ping();
    const open = () => {
      const closed = new Set(
        client.frames.filter(({ type }) => type === FrameType.RST_STREAM).map(({ stream }) => stream),
      );
      return streams.filter((stream) => !closed.has(stream));
    };
    // Whoever is refused is told first, and then made to leave.
    await until(() => open().length <= 10);
    assert.deepEqual(open(), streams.slice(0, 10));
    client.destroy();
  });

  it('2,000 that come and go leave no descriptor and no memory', async (t) => {
    const visits = async (count: number) => {
      for (let at = 0; at < count; at += 50) {
        const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.begin(server.socket)));
        for (const client of clients) {
          client.write(callHeaders(1, STREAM), dataFrames(1, grpcMessage(request({ resourceNames: [WEB] }))));
        }
        await Promise.all(
          clients.map((client) => client.frame(({ type, stream }) => type === FrameType.DATA && stream === 1)),
        );
        for (const client of clients) client.destroy();
      }
      await until(async () => (await descriptorsOf(server)) <= quiet + OTHERS);
    };
    await visits(1_000);
    const memory = memoryOf(server.pid);
    await visits(1_000);
    await stillServes();
    t.diagnostic(`${memory.toFixed(1)} MiB after 1,000, ${memoryOf(server.pid).toFixed(1)} after 2,000`);
    assert.ok(memoryOf(server.pid) < memory + 16);
  });

  it('processes that end without a word leave no descriptor', async (t) => {
    for (let at = 0; at < 4; at += 1) {
      const caller = startCaller(t);
      await caller.tell('connect', server.socket, 100);
      await caller.tell('stream', STREAM);
      caller.tellLast('exit');
      await caller.ended;
    }
    await until(async () => (await descriptorsOf(server)) <= quiet + OTHERS);
  });
});
