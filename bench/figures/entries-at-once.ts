/** Two thousand entries in one REST call, each waited for by a stream: until every stream has its SVID. */

import { setTimeout as pause } from 'node:timers/promises';
import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program, sharedNow } from '../load/program.ts';

const ENTRIES = 2_000;
const CONNECTIONS = 200;
const RUNS = 3;

export async function entriesAtOnce(cleanup: Cleanup): Promise<Figure[]> {
  const sample: number[] = [];
  for (let run = 0; run < RUNS; run += 1) sample.push(await measure(cleanup));
  return [
    {
      name: 'entries-at-once',
      value: percentile(sample, 0.5),
      unit: 'ms',
      compared_with: { reach: 1_500, 'SPIRE 1.16-dev': 30_800 },
      how: `median of ${RUNS} runs: ${ENTRIES} streams over ${CONNECTIONS} connections, nodes of 61 KB, wait for a name each; from the POST of an entry for each name to the last stream's SVID in the client`,
    },
  ];
}

async function measure(cleanup: Cleanup): Promise<number> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const names = Array.from({ length: ENTRIES }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);
  const client = Program.start(cleanup, 'client-program.ts');
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: true, atOnce: ENTRIES },
  };
  await client.tell('open', options);
  while (server.log.filter(({ msg }) => msg === 'name held').length < ENTRIES) await pause(50);
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entries = names.map((name) => ({ spiffe_id: name, selectors }));
  const received = client.tell<number>('received', { messages: 1 });
  const begun = sharedNow();
  const { status } = await server.request('POST', '/v1/entries', { entries });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  const took = (await received) - begun;
  await client.end();
  await server.stop('SIGKILL');
  return took;
}
