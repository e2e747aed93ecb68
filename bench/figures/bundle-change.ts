/** One change of a bundle to ten thousand streams that have it, and how long the event loop stands still for it. */

import { type Cleanup, type Figure, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';
import { BUNDLE_NAME, federate, serveInner, setBundle } from '../load/server.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;

export async function bundleChange(cleanup: Cleanup): Promise<Figure[]> {
  return [...(await change(cleanup, false)), ...(await change(cleanup, true))];
}

async function change(cleanup: Cleanup, nodeInAcks: boolean): Promise<Figure[]> {
  const server = await serveInner(cleanup);
  await federate(server);
  await setBundle(server);
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array<string>(STREAMS).fill(BUNDLE_NAME);
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks, atOnce: 200 },
  };
  await client.tell('open', options);
  await server.program.tell('watchPauses');
  const begun = await setBundle(server);
  const ended = await client.tell<number>('received', { messages: 2 });
  const pause = await server.program.tell<number>('longestPause');
  await client.end();
  await server.program.end();
  const which = nodeInAcks ? '-real-acks' : '';
  const acks = nodeInAcks ? 'ACKs with 61 KB' : 'ACKs without the node, as with set_node_on_first_message_only';
  const how = `${STREAMS} streams over ${CONNECTIONS} connections have another domain's bundle, and PUT /v1/bundles sets a new one; ${acks}; one client process`;
  return [
    {
      name: `bundle-change${which}`,
      value: round(ended - begun),
      unit: 'ms',
      compared_with: { reach: 250, 'SPIRE 1.16-dev': 5_000 },
      how: `${how}; from the call to the last stream's message in the client`,
    },
    {
      name: `bundle-change-pause${which}`,
      value: round(pause),
      unit: 'ms',
      compared_with: { reach: 50 },
      how: `${how}; the most of perf_hooks.monitorEventLoopDelay at 1 ms from the call to the last message`,
    },
  ];
}
