/**
 * Fuzzes the socket of a real `bin/sidekey serve` with mutated frames from several connections. There is an entry for
 * another uid all the time, and one for ours every other round: no byte of a secret that is not ours may come, the
 * server must live and serve, and in the end hold no more descriptors than before, and not much memory.
 */

import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as pause, setImmediate } from 'node:timers/promises';
import { DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { HealthCheckRequest } from '../../src/gen/grpc/health/v1/health.ts';
import { ServerReflectionRequest } from '../../src/gen/grpc/reflection/v1/reflection.ts';
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
import { chainOf, SdsClient, SECRET_TYPE, secretsOf } from '../support/sds-client.ts';
import { type Served, serve } from '../support/serve.ts';
import { mutate, mutateFields } from './mutate.ts';
import { Random } from './random.ts';
import { captured, made, small } from './requests.ts';
import { Broken, type Target } from './target.ts';
import { madeCall } from './workload-requests.ts';

const OWN = 'spiffe://ilinux.io/own';
const THEIRS = 'spiffe://ilinux.io/theirs';
const STREAM = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
/** Methods of the standard services, each with a valid request. */
const STANDARD: readonly (readonly [path: string, request: Buffer])[] = [
  ['/grpc.health.v1.Health/Check', Buffer.from(HealthCheckRequest.encode({ service: '' }).finish())],
  ['/grpc.health.v1.Health/Watch', Buffer.from(HealthCheckRequest.encode({ service: '' }).finish())],
  [
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    Buffer.from(ServerReflectionRequest.encode({ host: '', fileContainingSymbol: 'grpc.health.v1.Health' }).finish()),
  ],
];

const CONNECTIONS = 8;
/** Room for more answers than come. */
const WINDOW = frame(FrameType.WINDOW_UPDATE, 0, 0, Buffer.from('70000000', 'hex'));
/** Inputs between two looks at whether the server still serves. */
const ROUND = 200;
/** Above this the server has kept something; its heap is held small, so that garbage does not count. */
const MEMORY_LIMIT_MIB = 300;

export const fuzzPipe: Target = async (seed, goOn) => {
  const steps: (() => unknown)[] = [];
  try {
    return await run(seed, goOn, (step) => void steps.push(step as () => unknown));
  } finally {
    for (const step of steps.reverse()) await step();
  }
};

async function run(seed: number, goOn: (inputs: number) => boolean, after: TestContext['after']) {
  const server = await serve({ after }, { logLevel: 'info', nodeFlags: ['--max-old-space-size=96'] });
  const uid = process.getuid!();
  await create(server, THEIRS, uid + 1);
  const before = await descriptorsOf(server);
  const fuzz = new PipeFuzz(server);
  const begin = performance.now();
  let input = 0;
  let own: string | undefined;
  try {
    for (; goOn(input); input += 1) {
      await fuzz.throw(Random.of(seed, input));
      if (input % ROUND !== ROUND - 1) continue;
      // An honest answer comes after whatever the server had to do for what came before.
      await stillServes(server, own !== undefined);
      fuzz.check();
      if (own === undefined) own = await create(server, OWN, uid);
      else own = await remove(server, own);
      fuzz.entitled = own !== undefined;
    }
    await stillServes(server, own !== undefined);
    fuzz.check();
    await until(async () => (await descriptorsOf(server)) <= before + 6);
    const memory = memoryOf(server.pid);
    assert.ok(memory < MEMORY_LIMIT_MIB, `the server has ${memory} MiB`);
    const taken = (performance.now() - begin) / 1_000;
    const notes = [
      `${fuzz.connections} connections`,
      `${fuzz.secrets} secrets of ours, none of others`,
      `${fuzz.states} answers of the Workload API`,
      `server ${Math.round(memory)} MiB`,
    ];
    return { inputs: input, seconds: taken, notes };
  } catch (error) {
    throw new Broken('pipe', seed, input, fuzz.recent(), error);
  }
}

async function create(server: Served, spiffeId: string, uid: number): Promise<string> {
  const selectors = [{ type: 'unix', value: `uid:${uid}` }];
  const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors });
  assert.equal(status, 201);
  return body.id;
}

async function remove(server: Served, id: string): Promise<undefined> {
  assert.equal((await server.request('DELETE', `/v1/entries/${id}`)).status, 204);
}

async function stillServes(server: Served, entitled: boolean): Promise<void> {
  const client = new SdsClient(server.socket);
  try {
    const fetched = client.fetch({ resourceNames: [OWN, THEIRS] });
    if (!entitled) await assert.rejects(fetched, { code: 5 });
    else
      assert.deepEqual(
        secretsOf(await fetched).map(({ name }) => name),
        [OWN],
      );
  } finally {
    client.close();
  }
}

/** Below `connectsPerSecondPerUid`, which honest connections count for as well. */
const CONNECT_EACH_MS = 1_000 / 400;

class PipeFuzz {
  entitled = false;
  connections = 0;
  secrets = 0;
  /** Answers of the Workload API. */
  states = 0;
  readonly #server: Served;
  readonly #clients: (FuzzedConnection | undefined)[] = Array.from({ length: CONNECTIONS }, () => undefined);
  #recent: string[] = [];
  /** When the next connection may be opened, by performance.now(). */
  #mayConnectAt = 0;

  constructor(server: Served) {
    this.#server = server;
  }

  /** The last inputs, with the connection that each went to. */
  recent(): string {
    return this.#recent.join('\n');
  }

  async throw(random: Random): Promise<void> {
    const at = random.below(CONNECTIONS);
    let connection = this.#clients[at];
    if (connection === undefined || !connection.client.socket.writable) {
      if (connection !== undefined) this.#look(connection);
      // The server refuses a user's connections beyond its limit a second.
      const wait = this.#mayConnectAt - performance.now();
      if (wait > 0) await pause(wait);
      this.#mayConnectAt = performance.now() + CONNECT_EACH_MS;
      const client = await RawClient.connect(this.#server.socket);
      this.connections += 1;
      connection = { client, stream: 1, wild: random.chance(0.5), standard: new Set(), workload: new Set() };
      this.#clients[at] = connection;
      // Some begin as they should not.
      if (!connection.wild || random.chance(0.9)) client.write(PREFACE, frame(FrameType.SETTINGS, 0, 0), WINDOW);
    }
    const bytes = makeInput(random, connection);
    this.#recent.push(`${at}: ${bytes.toString('hex').slice(0, 2_000)}`);
    if (this.#recent.length > 20) this.#recent.shift();
    connection.client.write(bytes);
    const end = random.below(100);
    if (end === 0) connection.client.destroy();
    else if (end === 1) connection.client.socket.end();
    // The server reads on, so that some answers come before what is wrong.
    else if (end < 30) await setImmediate();
  }

  /** Looks at all that came, and begins anew. */
  check(): void {
    for (const [at, connection] of this.#clients.entries()) {
      if (connection === undefined) continue;
      this.#look(connection);
      connection.client.destroy();
      this.#clients[at] = undefined;
    }
  }

  #look({ client, standard, workload }: FuzzedConnection): void {
    const messages = new Map<number, Buffer[]>();
    for (const { type, stream, payload } of client.frames) {
      if (type !== FrameType.DATA || standard.has(stream)) continue;
      messages.set(stream, [...(messages.get(stream) ?? []), payload]);
    }
    for (const [stream, parts] of messages) {
      for (const message of split(Buffer.concat(parts))) {
        if (workload.has(stream)) this.#lookAtState(message);
        else this.#lookAt(message);
      }
    }
  }

  /** A message of the Workload API, of whichever method: none has anything of another, and none comes without an identity. */
  #lookAtState(message: Buffer): void {
    assert.ok(!message.includes(THEIRS), 'a message about the identity of another');
    assert.ok(this.entitled, 'an answer of the Workload API came, though nobody may have anything');
    this.states += 1;
  }

  #lookAt(message: Buffer): void {
    assert.ok(!message.includes(THEIRS), 'a message about the secret of another');
    const response = DiscoveryResponse.decode(message);
    // Messages of other services are read as this one too, and may seem to have resources.
    const resources = response.resources.filter(({ typeUrl }) => typeUrl === SECRET_TYPE);
    for (const secret of secretsOf({ ...response, resources })) {
      assert.ok(this.entitled, `${secret.name} came, though nobody may have anything`);
      if (secret.tlsCertificate === undefined) continue;
      this.secrets += 1;
      assert.equal(subjectOf(chainOf(secret)[0]!), `URI:${OWN}`);
    }
  }
}

interface FuzzedConnection {
  readonly client: RawClient;
  /** The next stream that a client may open. */
  stream: number;
  /** True: sends frames that cost it the connection; else what is wrong is in its streams. */
  readonly wild: boolean;
  /** The streams of standard services: their answers are no secrets, and reflection repeats what it was asked. */
  readonly standard: Set<number>;
  /** The streams of the Workload API. */
  readonly workload: Set<number>;
}

function subjectOf(certificate: X509Certificate): string {
  return certificate.subjectAltName ?? '';
}

function split(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    messages.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return messages;
}

function makeInput(random: Random, connection: FuzzedConnection): Buffer {
  if (random.chance(0.05)) return standardCall(random, connection);
  if (random.chance(0.2)) return workloadCall(random, connection);
  const kind = connection.wild ? random.below(20) : 5 + random.below(15);
  if (kind === 0) return random.bytes(1 + random.below(200));
  if (kind < 3) return anyFrame(random, connection.stream);
  if (kind < 5) return mutate(random, call(random, connection, made(random)), [PREFACE, ...small]);
  if (kind === 5) return call(random, connection, mutate(random, random.pick(captured), captured));
  if (kind < 8) return call(random, connection, mutate(random, random.pick(small), small));
  if (kind < 12) return call(random, connection, mutateFields(random, random.pick(small), small));
  if (kind < 16) return call(random, connection, made(random));
  if (connection.stream === 1) return call(random, connection, made(random));
  if (kind < 18) return more(random, connection.stream, made(random));
  return resetStream(anyStream(random, connection.stream), random.below(14));
}

/** A call of a method that there is, mostly, with its first message, whole or not. */
function call(random: Random, connection: FuzzedConnection, message: Buffer): Buffer {
  const { stream } = connection;
  connection.stream += 2;
  const path = random.pick([STREAM, STREAM, FETCH, FETCH, '/a.B/C']);
  const encoding: [string, string][] = random.chance(0.1)
    ? [['grpc-encoding', random.pick(['gzip', 'deflate', 'identity', 'br', ''])]]
    : [];
  const framed = grpcMessage(message, random.chance(0.05));
  const body = random.chance(0.1) ? framed.subarray(0, random.below(framed.length)) : framed;
  return Buffer.concat([
    callHeaders(stream, path, encoding),
    dataFrames(stream, body, random.chance(0.5) ? END_STREAM : 0),
  ]);
}

/** A call of a standard service. */
function standardCall(random: Random, connection: FuzzedConnection): Buffer {
  const { stream } = connection;
  connection.stream += 2;
  connection.standard.add(stream);
  const [path, request] = random.pick(STANDARD);
  const message = random.chance(0.3) ? made(random) : mutate(random, request, [request]);
  const flags = random.chance(0.7) ? END_STREAM : 0;
  return Buffer.concat([callHeaders(stream, path), dataFrames(stream, grpcMessage(message), flags)]);
}

/** A call of the Workload API, whose client may never read the answer. */
function workloadCall(random: Random, connection: FuzzedConnection): Buffer {
  const { stream } = connection;
  connection.stream += 2;
  connection.workload.add(stream);
  const { path, message, headers } = madeCall(random);
  const body = random.chance(0.6) ? message : (random.chance(0.5) ? mutate : mutateFields)(random, message, [message]);
  const flags = random.chance(0.8) ? END_STREAM : 0;
  return Buffer.concat([callHeaders(stream, path, headers), dataFrames(stream, grpcMessage(body), flags)]);
}

/** Another message on a stream that may be there. */
function more(random: Random, next: number, message: Buffer): Buffer {
  return dataFrames(anyStream(random, next), grpcMessage(message), random.chance(0.2) ? END_STREAM : 0);
}

function anyFrame(random: Random, next: number): Buffer {
  const payload = random.chance(0.3)
    ? headerBlock([[random.pick([':path', ':method', 'te', 'x-bin', '']), random.pick([STREAM, 'POST', '\u0000', ''])]])
    : random.bytes(random.below(40));
  const flags = random.pick([0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS, random.below(256)]);
  return frame(
    random.below(12),
    flags,
    random.chance(0.2) ? random.pick([0, next, random.next()]) : anyStream(random, next),
    payload,
  );
}

function anyStream(random: Random, next: number): number {
  return Math.max(1, next - random.pick([2, 2, 4, 6, 8]));
}
