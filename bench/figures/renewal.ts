/** Ten thousand distinct SVIDs that are due at once, renewed and pushed to a stream each. */

import { TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';
import { timeRounds } from '../load/rounds.ts';
import { serveInner } from '../load/server.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const PER_CALL = 2_000;
const RENEWALS = 3;
/** Beyond the half life and its jitter of an SVID that lives an hour; all of them together within the intermediate's. */
const JUMP_MS = 40 * 60_000;

export async function renewal(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveInner(cleanup);
  const names = Array.from({ length: STREAMS }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  for (let i = 0; i < STREAMS; i += PER_CALL) {
    const entries = names.slice(i, i + PER_CALL).map((spiffe_id) => ({ spiffe_id, selectors }));
    await server.call('POST', '/v1/entries', { entries });
  }
  const client = Program.start(cleanup, 'client-program.ts');
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: false, atOnce: 200 },
  };
  await client.tell('open', options);
  const jump = () => server.program.tell<number>('jump', { milliseconds: JUMP_MS });
  const { times, pauses } = await timeRounds(server, client, RENEWALS, jump);
  const how = `${STREAMS} entries, a stream for each over ${CONNECTIONS} connections; the clock jumps ${JUMP_MS / 60_000} minutes, so that all SVIDs are due; every connection is attested again; one client process; median of ${RENEWALS}`;
  return [
    {
      name: 'renewal-of-all',
      value: percentile(times, 0.5),
      unit: 'ms',
      compared_with: { reach: 3_000 },
      how: `${how} (${times.map(Math.round).join(', ')}), from the jump to the last stream's message in the client`,
    },
    {
      name: 'renewal-of-all-pause',
      value: percentile(pauses, 0.5),
      unit: 'ms',
      compared_with: { reach: 50 },
      how: `${how} (${pauses.map(round).join(', ')}), the most of perf_hooks.monitorEventLoopDelay at 1 ms from the jump to the last message`,
    },
  ];
}
