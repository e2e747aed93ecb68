/** Resident memory of `bin/sidekey serve`: at rest, and with a hundred streams. */

import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { settledMemory } from '../load/memory.ts';
import { Program } from '../load/program.ts';

const STREAMS = 100;
const CONNECTIONS = 10;

export async function memory(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const idle = await settledMemory(server.pid);
  const names = Array.from({ length: STREAMS }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i % CONNECTIONS}`);
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entries = names.slice(0, CONNECTIONS).map((name) => ({ spiffe_id: name, selectors }));
  const { status } = await server.request('POST', '/v1/entries', { entries });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  const client = Program.start(cleanup, 'client-program.ts');
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: true, atOnce: 16 },
  };
  await client.tell('open', options);
  const busy = await settledMemory(server.pid);
  const compared = { 'SPIRE 1.16-dev': '160 in two daemons' };
  return [
    {
      name: 'memory-idle',
      value: round(idle / 1024),
      unit: 'MiB',
      compared_with: { reach: 95, ...compared },
      how: 'resident memory of bin/sidekey serve on an empty directory, once it has settled',
    },
    {
      name: 'memory-100-streams',
      value: round(busy / 1024),
      unit: 'MiB',
      compared_with: { reach: 105, ...compared },
      how: `the same with ${STREAMS} streams over ${CONNECTIONS} connections, nodes of 61 KB, made through one REST call and issued`,
    },
  ];
}
