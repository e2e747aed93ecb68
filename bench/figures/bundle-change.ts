/** One change of the bundle to ten thousand streams that have it, and how long the event loop stands still for it. */

import { makePlace, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
/** Beyond a root's end, but not by so much that nobody could represent the next one's. */
const JUMP_MS = 11 * 365 * 24 * 3_600_000;

export async function bundleChange(cleanup: Cleanup): Promise<Figure[]> {
  return [...(await change(cleanup, false)), ...(await change(cleanup, true))];
}

async function change(cleanup: Cleanup, nodeInAcks: boolean): Promise<Figure[]> {
  const { dataDir, socket, adminSocket } = makePlace(cleanup);
  const server = Program.start(cleanup, 'server-program.ts');
  await server.tell('serve', {
    ...{ trustDomain: TRUST_DOMAIN, dataDir, socket, adminSocket, socketMode: 0o600, adminHost: [] },
    ...{ allowWeakSelectors: false, bundleFor: 'anyone', disableSpiffeCertValidation: false },
    ...{ x509SvidTtl: 3_600, caTtl: 86_400, caSubject: 'C=US,O=SPIFFE', logLevel: 'silent' },
  });
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array<string>(STREAMS).fill('ROOTCA');
  const options: OpenOptions = {
    ...{ socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks, atOnce: 200 },
  };
  await client.tell('open', options);
  const begun = await server.tell<number>('jump', { milliseconds: JUMP_MS });
  const ended = await client.tell<number>('received', { messages: 2 });
  const pause = await server.tell<number>('longestPause');
  await client.end();
  await server.end();
  const which = nodeInAcks ? '-real-acks' : '';
  const acks = nodeInAcks ? 'ACKs with 61 KB' : 'ACKs without the node, as with set_node_on_first_message_only';
  const how = `${STREAMS} streams over ${CONNECTIONS} connections have ROOTCA; the server's parts as in serve, but the clock jumps past the root's end and a new root is made, which the time includes; ${acks}; one client process`;
  return [
    {
      name: `bundle-change${which}`,
      value: round(ended - begun),
      unit: 'ms',
      compared_with: { reach: 250, 'SPIRE 1.16-dev': 5_000 },
      how: `${how}; from the jump to the last stream's message in the client`,
    },
    {
      name: `bundle-change-pause${which}`,
      value: round(pause),
      unit: 'ms',
      compared_with: { reach: 50 },
      how: `${how}; the most of perf_hooks.monitorEventLoopDelay at 1 ms from the jump to the last message`,
    },
  ];
}
