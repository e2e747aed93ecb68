/** The page: the size of what a browser loads, and what five readers cost the pushes of ten thousand streams. */

import { globSync, statSync } from 'node:fs';
import path from 'node:path';
import { requestAdmin } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';
import { timeRounds } from '../load/rounds.ts';
import { serveStreams } from '../load/served-streams.ts';
import { BUNDLE_NAME, federate, serveInner, setBundle } from '../load/server.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const READERS = 5;
const CHANGES = 7;
const RUNS = 10;

export async function page(cleanup: Cleanup): Promise<Figure[]> {
  const alone = await cleanup.within((inner) => pushes(inner, 0));
  const watched = await cleanup.within((inner) => pushes(inner, READERS));
  return [...sizes(), latency(alone, watched), ...(await cleanup.within(answers))];
}

function sizes(): Figure[] {
  const assets = path.resolve(import.meta.dirname, '../../dist/page/assets');
  const total = (form: string) =>
    globSync(`*.${form}`, { cwd: assets }).reduce((sum, file) => sum + statSync(path.join(assets, file)).size, 0);
  return [
    {
      name: 'page-size',
      value: round(total('br') / 1_000),
      unit: 'kB',
      compared_with: { reach: 70, 'with gzip': round(total('gz') / 1_000) },
      how: 'script and style of the page, compressed with brotli',
    },
  ];
}

interface Pushes {
  readonly times: readonly number[];
  readonly seen: readonly { readonly messages: number; readonly rows: number }[];
}

async function pushes(cleanup: Cleanup, readers: number): Promise<Pushes> {
  const server = await serveInner(cleanup);
  await federate(server);
  await setBundle(server);
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array<string>(STREAMS).fill(BUNDLE_NAME);
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: false, atOnce: 200 },
  };
  await client.tell('open', options);
  const reading = Program.start(cleanup, 'page-readers-program.ts');
  await reading.tell('open', { socketPath: server.adminSocket, count: readers });
  const { times } = await timeRounds(server, client, CHANGES, () => setBundle(server));
  return { times, seen: await reading.tell('seen') };
}

function latency(alone: Pushes, watched: Pushes): Figure {
  const value = round(percentile(watched.times, 0.5) / percentile(alone.times, 0.5));
  const { messages, rows } = watched.seen[0]!;
  return {
    name: 'push-latency-with-page-readers',
    value,
    unit: 'times',
    compared_with: {
      reach: 1.5,
      'without readers, ms': percentile(alone.times, 0.5),
      'with readers, ms': percentile(watched.times, 0.5),
    },
    how: `${STREAMS} streams over ${CONNECTIONS} connections get a new bundle, until the last one has it; median of ${CHANGES} changes (${watched.times.map(Math.round).join(', ')} with ${READERS} readers of /v1/page/events, ${alone.times.map(Math.round).join(', ')} without). One reader got ${messages} messages with ${rows} rows`,
  };
}

async function answers(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveStreams(cleanup, STREAMS, CONNECTIONS);
  const timed = async (url: string) => {
    const begun = performance.now();
    const { status } = await requestAdmin(server.adminSocket, 'GET', url);
    if (status !== 200) throw new Error(`${url} answered ${status}`);
    return performance.now() - begun;
  };
  const first = await timed('/v1/page/proxies');
  const later: number[] = [];
  const overviews: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    later.push(await timed('/v1/page/proxies'));
    overviews.push(await timed('/v1/page/overview'));
  }
  const how = `${STREAMS} streams on ${CONNECTIONS} connections, over the Unix socket, read and parsed; median of ${RUNS}`;
  return [
    {
      name: 'page-proxies',
      value: percentile(later, 0.5),
      unit: 'ms',
      compared_with: { reach: 1_000, 'the first one, which makes all rows': round(first) },
      how,
    },
    { name: 'page-overview', value: percentile(overviews, 0.5), unit: 'ms', compared_with: { reach: 400 }, how },
  ];
}
