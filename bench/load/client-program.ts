/** Loads an SDS server over its pipe, in a process of its own; the same for every server that is compared. */

import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type Call, Connection, type Way } from './grpc-client.ts';
import { obey, sharedNow } from './program.ts';
import { answerTo, type NodeSize, requestFor, type Variant } from './requests.ts';

/** Streams that ask and accept what they get. */
export interface OpenOptions {
  readonly socket: string;
  readonly connections: number;
  /** For each stream the name that it asks for. */
  readonly names: readonly string[];
  readonly node: NodeSize;
  /** False: as an Envoy with `set_node_on_first_message_only`. */
  readonly nodeInAcks: boolean;
  /** How many streams wait for their first response at a time. */
  readonly atOnce: number;
  /** By StreamSecrets unless told otherwise. */
  readonly way?: Way;
}

export interface FetchOptions {
  readonly socket: string;
  readonly name: string;
  readonly node: NodeSize;
  /** Connections, each with one request after the other. */
  readonly atOnce: number;
  readonly seconds: number;
}

export interface LatencyOptions {
  readonly socket: string;
  /** Asked for in turn, on one stream. */
  readonly names: readonly [string, string];
  readonly times: number;
  /** Between a response and the next request, in milliseconds. */
  readonly pause: number;
}

const connections: Connection[] = [];
/** How many streams have received that many messages, and when the last of them had. */
const reached: { streams: number; at: number }[] = [];
let streams = 0;
let waiting: { messages: number; resolve: (at: number) => void } | undefined;

obey({ open, received, settled, fetch, latency, respond, connect });

/** Opens the streams and, with `atOnce` below their number, waits for their responses; says when it began and ended. */
async function open(options: OpenOptions): Promise<{ begun: number; ended: number }> {
  const { socket, names, atOnce } = options;
  const begun = sharedNow();
  let opened = 0;
  streams += names.length;
  const next = () => {
    if (opened === names.length) return;
    const i = opened;
    opened += 1;
    connections[i % options.connections] ??= new Connection(socket);
    openStream(connections[i % options.connections]!, names[i]!, options, next);
  };
  for (let i = 0; i < Math.min(atOnce, names.length); i += 1) next();
  if (atOnce < names.length) await received({ messages: 1 });
  return { begun, ended: sharedNow() };
}

function openStream(connection: Connection, name: string, options: OpenOptions, opened: () => void): void {
  const { way = 'sds sotw', node, nodeInAcks } = options;
  if (way === 'workload x509') {
    watchState(connection, name, opened);
    return;
  }
  const variant = way.endsWith('delta') ? 'delta' : 'sotw';
  const first = requestOnce([name], node, variant);
  // Who subscribes incrementally says it once.
  const later = requestOnce(variant === 'sotw' ? [name] : [], nodeInAcks ? node : 'none', variant);
  let messages = 0;
  const call = connection.stream((bytes) => {
    if (!bytes.includes(name)) throw new Error(`a response without ${name}`);
    messages += 1;
    call.send(answerTo(bytes, later, variant));
    note(messages);
    if (messages === 1) opened();
  }, way);
  call.send([first]);
}

/** A stream of the Workload API: it asks once, and acknowledges nothing. */
function watchState(connection: Connection, name: string, opened: () => void): void {
  let messages = 0;
  const call = connection.stream((bytes) => {
    if (!bytes.includes(name)) throw new Error(`a response without ${name}`);
    messages += 1;
    note(messages);
    if (messages === 1) opened();
  }, 'workload x509');
  call.end([]);
}

const requests = new Map<string, Buffer>();

/** Where thousands of streams ask for the same, the request is encoded once. */
function requestOnce(names: readonly string[], size: NodeSize | 'none', variant: Variant): Buffer {
  const key = `${size} ${variant} ${names}`;
  let request = requests.get(key);
  if (request === undefined) {
    request = requestFor(names, size, variant);
    requests.set(key, request);
  }
  return request;
}

function note(messages: number): void {
  reached[messages] ??= { streams: 0, at: 0 };
  const count = reached[messages];
  count.streams += 1;
  count.at = sharedNow();
  if (waiting?.messages === messages && count.streams === streams) waiting.resolve(count.at);
}

/** When the last stream had its so-manieth message, now or later. */
function received({ messages }: { messages: number }): Promise<number> {
  const count = reached[messages];
  if (count?.streams === streams) return Promise.resolve(count.at);
  return new Promise((resolve) => {
    waiting = { messages, resolve };
  });
}

/** When the server has read what all streams have said. */
async function settled(): Promise<void> {
  await Promise.all(connections.map((connection) => connection.settled()));
}

/** FetchSecrets a second, after a first second that isn't counted. */
async function fetch({ socket, name, node, atOnce, seconds }: FetchOptions): Promise<number> {
  const request = requestFor([name], node);
  const begin = sharedNow() + 1_000;
  const end = begin + seconds * 1_000;
  let counted = 0;
  const one = async () => {
    const connection = new Connection(socket);
    while (sharedNow() < end) {
      await connection.fetch(request);
      if (sharedNow() >= begin) counted += 1;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return counted / seconds;
}

/** How long each response took, in milliseconds. */
async function latency({ socket, names, times, pause: between }: LatencyOptions): Promise<number[]> {
  const connection = new Connection(socket);
  const sample: number[] = [];
  let arrived: (bytes: Buffer) => void = () => undefined;
  const call: Call = connection.stream((bytes) => arrived(bytes));
  let request: readonly Buffer[] = [requestFor([names[0]], 'real')];
  for (let i = 0; i < times; i += 1) {
    const response = new Promise<Buffer>((resolve) => {
      arrived = resolve;
    });
    const begun = sharedNow();
    call.send(request);
    const bytes = await response;
    sample.push(sharedNow() - begun);
    request = answerTo(bytes, requestFor([names[(i + 1) % 2]!], 'none'));
    await pause(between);
  }
  connection.close();
  return sample;
}

/** The bytes of one response, in base64. */
async function respond({ socket, name }: { socket: string; name: string }): Promise<string> {
  const connection = new Connection(socket);
  const bytes = await connection.fetch(requestFor([name], 'tiny'));
  connection.close();
  return bytes.toString('base64');
}

/** Connects and says nothing; the server hangs up. */
function connect({ socket }: { socket: string }): void {
  net.connect(socket).resume();
}
