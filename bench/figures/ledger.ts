/** The ledger: what it costs to keep, and how long it takes to tell ten thousand streams. */

import { setTimeout as pause } from 'node:timers/promises';
import { processorTimeOf } from '../../test/support/processor-time.ts';
import type { Served } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { WeighOptions } from '../load/ledger-program.ts';
import { Program } from '../load/program.ts';
import { serveStreams } from '../load/served-streams.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const RUNS = 5;
const PAGE = 1_000;

export async function ledger(cleanup: Cleanup): Promise<Figure[]> {
  return [await weight(cleanup), ...(await answerTime(cleanup))];
}

async function weight(cleanup: Cleanup): Promise<Figure> {
  const weigh = async (what: WeighOptions['what']) => {
    const program = Program.start(cleanup, 'ledger-program.ts');
    const bytes = await program.tell<number>('weigh', { streams: STREAMS, streamsAConnection: 2, what });
    await program.end();
    return Math.round(bytes);
  };
  return {
    name: 'ledger-a-stream-and-name',
    value: await weigh('reports'),
    unit: 'bytes',
    compared_with: { reach: 1_024, 'subscription, watches and ledger together': await weigh('subscriptions') },
    how: `heap after collection, by stream: ${STREAMS} streams of a name each, two a connection, each name with a certificate of its own that was taken and a NACK of 200 characters. The ledger is a view on fields of other objects; what it tells of a stream and name, made and kept, with its connections, stands for them and is rather more. The whole is measured on the same objects without wire and attestation`,
  };
}

async function answerTime(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveStreams(cleanup, STREAMS, CONNECTIONS);
  const health = async () => {
    const begun = performance.now();
    await server.request('GET', '/healthz');
    return performance.now() - begun;
  };
  const alone: number[] = [];
  for (let i = 0; i < 100; i += 1) alone.push(await health());
  const took: number[] = [];
  const meanwhile: number[] = [];
  const usedBefore = processorTimeOf(server.pid);
  for (let run = 0; run < RUNS; run += 1) {
    let reading = true;
    const begun = performance.now();
    const pages = readAll(server).then(() => {
      took.push(performance.now() - begun);
      reading = false;
    });
    while (reading) {
      meanwhile.push(await health());
      await pause(1);
    }
    await pages;
  }
  const used = processorTimeOf(server.pid) - usedBefore;
  const how = `median of ${RUNS} reads of all pages of ${PAGE}, ${STREAMS} streams on ${CONNECTIONS} connections, over the Unix socket, read and parsed by one client that asks for /healthz all the while`;
  return [
    {
      name: 'proxies-10000-streams',
      value: percentile(took, 0.5),
      unit: 'ms',
      compared_with: { 'processor time of the server': round(used / RUNS) },
      how,
    },
    {
      name: 'healthz-while-proxies',
      value: percentile(meanwhile, 0.99),
      unit: 'ms',
      compared_with: { 'nothing else asked': percentile(alone, 0.99), longest: round(Math.max(...meanwhile)) },
      how: `99th percentile of the ${meanwhile.length} answers of /healthz in those reads; the client's own parsing is in it`,
    },
  ];
}

async function readAll(server: Served): Promise<void> {
  let streams = 0;
  for (let cursor = ''; ; ) {
    const { body } = await server.request('GET', `/v1/proxies?limit=${PAGE}${cursor && `&cursor=${cursor}`}`);
    for (const proxy of body.proxies) streams += proxy.streams.length;
    cursor = body.next_cursor;
    if (cursor === '') break;
  }
  if (streams !== STREAMS) throw new Error(`${streams} of ${STREAMS} streams were told`);
}
