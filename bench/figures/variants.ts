/** The ways to ask beside each other: streams opened, what they weigh, and one change of the bundle to all of them. */

import { makePlace, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { METHODS, type Way } from '../load/grpc-client.ts';
import { settledMemory } from '../load/memory.ts';
import { Program } from '../load/program.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const RUNS = 3;
/** Beyond a root's end, but not by so much that nobody could represent the next one's. */
const JUMP_MS = 11 * 365 * 24 * 3_600_000;
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
  const how = `median of ${RUNS} runs, each way in turn: ${STREAMS} streams over ${CONNECTIONS} connections that ask for ROOTCA with nodes of 61 KB, ACKs without the node; then the clock jumps past the root's end`;
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
  const inner = new Cleanup();
  cleanup.after(() => inner.run());
  try {
    const { dataDir, socket, adminSocket } = makePlace(inner);
    const server = Program.start(inner, 'server-program.ts');
    await server.tell('serve', {
      ...{ trustDomain: TRUST_DOMAIN, dataDir, socket, adminSocket, socketMode: 0o600, adminHost: [] },
      ...{ allowWeakSelectors: false, bundleFor: 'anyone', disableSpiffeCertValidation: false },
      ...{ x509SvidTtl: 3_600, caTtl: 86_400, caSubject: 'C=US,O=SPIFFE', logLevel: 'silent' },
    });
    const client = Program.start(inner, 'client-program.ts');
    const before = await settledMemory(server.pid);
    const names = Array<string>(STREAMS).fill('ROOTCA');
    const options: OpenOptions = {
      ...{ socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: false, atOnce: 200, way },
    };
    const open = await client.tell<{ begun: number; ended: number }>('open', options);
    const memory = ((await settledMemory(server.pid)) - before) / STREAMS;
    const jumped = await server.tell<number>('jump', { milliseconds: JUMP_MS });
    const changed = await client.tell<number>('received', { messages: 2 });
    const pause = await server.tell<number>('longestPause');
    return { opened: STREAMS / ((open.ended - open.begun) / 1_000), memory, change: changed - jumped, pause };
  } finally {
    await inner.run();
  }
}
