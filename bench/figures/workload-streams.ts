/** Streams of the Workload API beside streams of SDS with tiny nodes: how fast they open, what each weighs, and a renewal. */

import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, medianShare, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import type { Way } from '../load/grpc-client.ts';
import { settledMemory } from '../load/memory.ts';
import { Program } from '../load/program.ts';
import { timeRounds } from '../load/rounds.ts';
import { serveInner } from '../load/server.ts';

/** A smaller number shows that it runs. */
const STREAMS = Number(process.env.BENCH_STREAMS || 10_000);
const CONNECTIONS = STREAMS / 10;
const AT_ONCE = Math.min(200, STREAMS / 2);
/** One after the other's: what else the machine does meets both alike. */
const RUNS = 5;
const RENEWALS = 3;
const JUMP_MS = 40 * 60_000;
const NAME = `spiffe://${TRUST_DOMAIN}/web`;
const ENTRY = { spiffe_id: NAME, selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }] };

const optionsFor = (socket: string, way: Way): OpenOptions => {
  const names = Array<string>(STREAMS).fill(NAME);
  return { socket, connections: CONNECTIONS, names, node: 'tiny', nodeInAcks: true, atOnce: AT_ONCE, way };
};

export async function workloadStreams(cleanup: Cleanup): Promise<Figure[]> {
  const [ours, sds]: { perSecond: number; memory: number }[][] = [[], []];
  for (let run = 0; run < RUNS; run += 1) {
    ours!.push(await openAll(cleanup, 'workload x509'));
    sds!.push(await openAll(cleanup, 'sds sotw'));
  }
  const median = (sample: typeof ours, key: 'perSecond' | 'memory') =>
    percentile(
      sample!.map((one) => one[key]),
      0.5,
    );
  const shareOf = (key: 'perSecond' | 'memory') => {
    return medianShare(
      ours!.map((one) => one[key]),
      sds!.map((one) => one[key]),
    );
  };
  const how = `medians of ${RUNS} runs in turn with SDS, the share that of the shares of a run and the next: ${STREAMS} streams of FetchX509SVID over ${CONNECTIONS} connections, ${AT_ONCE} waiting at a time, one identity, from the first connect to the last response; the client is one process`;
  return [
    {
      name: 'workload-streams-opened',
      value: median(ours, 'perSecond'),
      unit: '1/s',
      compared_with: {
        'SDS with tiny nodes': median(sds, 'perSecond'),
        'share of it': shareOf('perSecond'),
        reach: 'a share of 0.85',
      },
      how,
    },
    {
      name: 'memory-a-workload-stream',
      value: median(ours, 'memory'),
      unit: 'KiB',
      compared_with: {
        'SDS with tiny nodes': median(sds, 'memory'),
        'share of it': shareOf('memory'),
        reach: 'a share of 1.15',
      },
      how: `${how}; what resident memory has grown by since before the first connect, once it has settled, by stream`,
    },
  ];
}

async function openAll(cleanup: Cleanup, way: Way): Promise<{ perSecond: number; memory: number }> {
  return cleanup.within(async (inner) => {
    const server = await serve(inner, { logLevel: 'info' });
    const { status } = await server.request('POST', '/v1/entries', ENTRY);
    if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
    const client = Program.start(inner, 'client-program.ts');
    const before = await settledMemory(server.pid);
    const { begun, ended } = await client.tell<{ begun: number; ended: number }>(
      'open',
      optionsFor(server.socket, way),
    );
    const memory = ((await settledMemory(server.pid)) - before) / STREAMS;
    return { perSecond: round(STREAMS / ((ended - begun) / 1_000)), memory: round(memory) };
  });
}

/** All streams of one user have its identity, which the protocol sends as a whole; so one SVID is renewed for all. */
export async function workloadRenewal(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveInner(cleanup);
  await server.call('POST', '/v1/entries', ENTRY);
  const client = Program.start(cleanup, 'client-program.ts');
  await client.tell('open', optionsFor(server.socket, 'workload x509'));
  const jump = () => server.program.tell<number>('jump', { milliseconds: JUMP_MS });
  const { times, pauses } = await timeRounds(server, client, RENEWALS, jump);
  const how = `${STREAMS} streams of FetchX509SVID over ${CONNECTIONS} connections, one identity; the clock jumps ${JUMP_MS / 60_000} minutes, so that its SVID is due; every connection is attested again; one client process; median of ${RENEWALS}`;
  return [
    {
      name: 'workload-renewal-of-all',
      value: percentile(times, 0.5),
      unit: 'ms',
      compared_with: { reach: 3_000 },
      how: `${how} (${times.map(Math.round).join(', ')}), from the jump to the last stream's message in the client`,
    },
    {
      name: 'workload-renewal-of-all-pause',
      value: percentile(pauses, 0.5),
      unit: 'ms',
      compared_with: { reach: 50 },
      how: `${how} (${pauses.map(round).join(', ')}), the most of perf_hooks.monitorEventLoopDelay at 1 ms from the jump to the last message`,
    },
  ];
}
