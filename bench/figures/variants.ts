/** The ways to ask beside each other: streams opened, what they weigh, and changes of the bundle to all of them. */

import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { METHODS, type Way } from '../load/grpc-client.ts';
import { settledMemory } from '../load/memory.ts';
import { Program } from '../load/program.ts';
import { timeRounds } from '../load/rounds.ts';
import { BUNDLE_NAME, federate, serveInner, setBundle } from '../load/server.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const RUNS = 3;
const CHANGES = 5;
const WAYS = Object.keys(METHODS) as Way[];

interface Measured {
  readonly opened: number;
  readonly memory: number;
  readonly change: number;
  readonly pause: number;
}

const FIGURES = [
  { key: 'opened', name: 'streams-opened', unit: '1/s' },
  { key: 'memory', name: 'memory-a-stream', unit: 'KiB' },
  { key: 'change', name: 'bundle-change', unit: 'ms' },
  { key: 'pause', name: 'bundle-change-pause', unit: 'ms' },
] as const;

export async function variants(cleanup: Cleanup): Promise<Figure[]> {
  const sample = new Map<Way, Measured[]>(WAYS.map((way) => [way, []]));
  for (let run = 0; run < RUNS; run += 1) {
    for (const way of WAYS) sample.get(way)!.push(await measure(cleanup, way));
  }
  const median = (way: Way, key: keyof Measured) =>
    percentile(
      sample.get(way)!.map((one) => one[key]),
      0.5,
    );
  const how = `median of ${RUNS} runs, each way in turn: ${STREAMS} streams over ${CONNECTIONS} connections that ask for another domain's bundle with nodes of 61 KB, ACKs without the node; then PUT /v1/bundles sets a new one, in each run ${CHANGES} times, of which the median`;
  return FIGURES.flatMap(({ key, name, unit }) =>
    WAYS.filter((way) => way !== 'sds sotw').map((way) => {
      const sotw = median('sds sotw', key);
      const value = median(way, key);
      return {
        name: `${name}-${way.replace(' ', '-')}`,
        value: round(value),
        unit,
        compared_with: { 'sds sotw': round(sotw), 'share of it': round(value / sotw), reach: 'within 20 %' },
        how,
      };
    }),
  );
}

async function measure(cleanup: Cleanup, way: Way): Promise<Measured> {
  return cleanup.within(async (inner) => {
    const server = await serveInner(inner);
    await federate(server);
    await setBundle(server);
    const client = Program.start(inner, 'client-program.ts');
    const before = await settledMemory(server.program.pid);
    const names = Array<string>(STREAMS).fill(BUNDLE_NAME);
    const options: OpenOptions = {
      ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: false, atOnce: 200, way },
    };
    const open = await client.tell<{ begun: number; ended: number }>('open', options);
    const memory = ((await settledMemory(server.program.pid)) - before) / STREAMS;
    const { times, pauses } = await timeRounds(server, client, CHANGES, () => setBundle(server));
    const opened = STREAMS / ((open.ended - open.begun) / 1_000);
    return { opened, memory, change: percentile(times, 0.5), pause: percentile(pauses, 0.5) };
  });
}
