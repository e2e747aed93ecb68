/**
 * Many streams: how fast they open, what each weighs, and how fast FetchSecrets is; beside grpc-js alone with the same
 * bytes to the same client, one after the other in the same run.
 */

import path from 'node:path';
import { makePlace, type Place, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, medianShare, percentile, round } from '../figure.ts';
import type { FetchOptions, OpenOptions } from '../load/client-program.ts';
import { settledMemory } from '../load/memory.ts';
import { Program } from '../load/program.ts';
import type { NodeSize } from '../load/requests.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const AT_ONCE = 200;
const FETCHES_AT_ONCE = 16;
const FETCH_SECONDS = 3;
/** One after the other's: what else the machine does meets both alike. */
const RUNS = 5;
const NAME = `spiffe://${TRUST_DOMAIN}/web`;

interface Running {
  readonly socket: string;
  readonly pid: number;
}
type Start = (cleanup: Cleanup) => Promise<Running>;

export async function streamsOpened(cleanup: Cleanup): Promise<Figure[]> {
  return opened(cleanup, 'real');
}

export async function tinyStreamsOpened(cleanup: Cleanup): Promise<Figure[]> {
  return opened(cleanup, 'tiny');
}

async function opened(cleanup: Cleanup, node: NodeSize): Promise<Figure[]> {
  const { ours, bare } = await inTurn(cleanup, (start) => openAll(cleanup, start, node));
  const perSecond = of(ours, 'perSecond');
  const barePerSecond = of(bare, 'perSecond');
  const nodes = node === 'real' ? 'nodes of 61 KB in requests and ACKs' : 'tiny nodes';
  const how = `medians of ${RUNS} runs in turn with grpc-js alone, the share that of the shares of a run and the next: ${STREAMS} streams over ${CONNECTIONS} connections, ${AT_ONCE} waiting at a time, ${nodes}, from the first connect to the last response; the client is one process`;
  return [
    {
      name: `streams-opened-${node}-nodes`,
      value: perSecond,
      unit: '1/s',
      compared_with: {
        'grpc-js alone': barePerSecond,
        'share of it': medianShare(ratesOf(ours), ratesOf(bare)),
        reach: 'a share of 0.85',
        'SPIRE 1.16-dev': node === 'real' ? 685 : 2_230,
      },
      how,
    },
    {
      name: `memory-a-stream-${node}-nodes`,
      value: of(ours, 'memory'),
      unit: 'KiB',
      compared_with: {
        'grpc-js alone': of(bare, 'memory'),
        ...(node === 'real' ? { reach: 26, 'SPIRE 1.16-dev': 300 } : {}),
      },
      how: `${how}; what resident memory has grown by since before the first connect, once it has settled, by stream`,
    },
  ];
}

async function openAll(cleanup: Cleanup, start: Start, node: NodeSize): Promise<{ perSecond: number; memory: number }> {
  return cleanup.within(async (inner) => {
    const { socket, pid } = await start(inner);
    const client = Program.start(inner, 'client-program.ts');
    const before = await settledMemory(pid);
    const names = Array<string>(STREAMS).fill(NAME);
    const options: OpenOptions = { socket, connections: CONNECTIONS, names, node, nodeInAcks: true, atOnce: AT_ONCE };
    const { begun, ended } = await client.tell<{ begun: number; ended: number }>('open', options);
    const memory = ((await settledMemory(pid)) - before) / STREAMS;
    return { perSecond: round(STREAMS / ((ended - begun) / 1_000)), memory: round(memory) };
  });
}

export async function fetches(cleanup: Cleanup): Promise<Figure[]> {
  const { ours, bare } = await inTurn(cleanup, async (start) => {
    return cleanup.within(async (inner) => {
      const { socket } = await start(inner);
      const client = Program.start(inner, 'client-program.ts');
      const options: FetchOptions = {
        socket,
        name: NAME,
        node: 'real',
        atOnce: FETCHES_AT_ONCE,
        seconds: FETCH_SECONDS,
      };
      return { perSecond: await client.tell<number>('fetch', options) };
    });
  });
  const perSecond = of(ours, 'perSecond');
  const barePerSecond = of(bare, 'perSecond');
  return [
    {
      name: 'fetches',
      value: perSecond,
      unit: '1/s',
      compared_with: {
        'grpc-js alone': barePerSecond,
        'share of it': medianShare(ratesOf(ours), ratesOf(bare)),
        reach: 'a share of 0.85',
        'SPIRE 1.16-dev': 980,
      },
      how: `medians of ${RUNS} runs of ${FETCH_SECONDS} s after one that does not count, in turn with grpc-js alone, the share that of the shares of a run and the next: FetchSecrets with nodes of 61 KB, ${FETCHES_AT_ONCE} connections with one at a time`,
    },
  ];
}

/** Measures Sidekey and grpc-js alone in turn, each time started anew. */
async function inTurn<T>(cleanup: Cleanup, measure: (start: Start) => Promise<T>): Promise<{ ours: T[]; bare: T[] }> {
  const response = await captureResponse(cleanup);
  const ours: T[] = [];
  const bare: T[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    ours.push(await measure(startSidekey));
    bare.push(await measure((inner) => startBare(inner, response)));
  }
  return { ours, bare };
}

async function startSidekey(cleanup: Cleanup): Promise<Running> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  return server;
}

async function startBare(cleanup: Cleanup, response: string): Promise<Running> {
  const place: Place = makePlace(cleanup);
  const socket = path.join(place.directory, 'bare.sock');
  const server = Program.start(cleanup, 'bare-server-program.ts');
  await server.tell('listen', { socket, response });
  return { socket, pid: server.pid };
}

/** What Sidekey answers, for the other to answer too. */
async function captureResponse(cleanup: Cleanup): Promise<string> {
  return cleanup.within(async (inner) => {
    const { socket } = await startSidekey(inner);
    return Program.start(inner, 'client-program.ts').tell<string>('respond', { socket, name: NAME });
  });
}

function ratesOf(sample: readonly { perSecond: number }[]): number[] {
  return sample.map(({ perSecond }) => perSecond);
}

function of<Key extends string>(sample: readonly Readonly<Record<Key, number>>[], key: Key): number {
  return percentile(
    sample.map((one) => one[key]),
    0.5,
  );
}
