/** A change of a bundle to ten thousand streams that have it, and how long the event loop stands still for it. */

import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';
import { timeRounds } from '../load/rounds.ts';
import { BUNDLE_NAME, federate, serveInner, setBundle } from '../load/server.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
/** Of the first, the machine code is not made yet. */
const CHANGES = 7;

export async function bundleChange(cleanup: Cleanup): Promise<Figure[]> {
  const small = await cleanup.within((inner) => changes(inner, false));
  const real = await cleanup.within((inner) => changes(inner, true));
  return [...small, ...real];
}

async function changes(cleanup: Cleanup, nodeInAcks: boolean): Promise<Figure[]> {
  const server = await serveInner(cleanup);
  await federate(server);
  await setBundle(server);
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array<string>(STREAMS).fill(BUNDLE_NAME);
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks, atOnce: 200 },
  };
  await client.tell('open', options);
  const { times, pauses, pausesWithAcks } = await timeRounds(server, client, CHANGES, () => setBundle(server));
  const which = nodeInAcks ? '-real-acks' : '';
  const acks = nodeInAcks ? 'ACKs with 61 KB' : 'ACKs without the node, as with set_node_on_first_message_only';
  const how = `${STREAMS} streams over ${CONNECTIONS} connections have another domain's bundle, and PUT /v1/bundles sets a new one; ${acks}; one client process; median of ${CHANGES} changes`;
  return [
    {
      name: `bundle-change${which}`,
      value: percentile(times, 0.5),
      unit: 'ms',
      compared_with: { reach: 250, 'SPIRE 1.16-dev': 5_000 },
      how: `${how} (${times.map(Math.round).join(', ')}), from the call to the last stream's message in the client`,
    },
    {
      name: `bundle-change-pause${which}`,
      value: percentile(pauses, 0.5),
      unit: 'ms',
      compared_with: { reach: 50, 'until all ACKs are read': percentile(pausesWithAcks, 0.5) },
      how: `${how} (${pauses.map(round).join(', ')}), the most of perf_hooks.monitorEventLoopDelay at 1 ms from the call to the last message`,
    },
  ];
}
