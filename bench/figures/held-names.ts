/** What names cost that are held: asked for, and given to nobody yet. */

import { setTimeout as pause } from 'node:timers/promises';
import type { DecisionPageJson } from '../../src/admin/decision-schema.ts';
import type { ProxyPageJson } from '../../src/admin/proxy-schema.ts';
import { SdsClient } from '../../test/support/sds-client.ts';
import { type Place, requestAdmin, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';
import { settledMemory } from '../load/memory.ts';
import { serveInner } from '../load/server.ts';

const NAMES = 1_000;
/** That many times as many are measured: a thousand drown in what else changes. */
const TIMES = 10;
const MIB = 1024 * 1024;

export async function heldNames(cleanup: Cleanup): Promise<Figure[]> {
  const used = await cleanup.within(async (inner) => {
    const server = await serveInner(inner);
    return grown(inner, server, () => server.program.tell<number>('used'));
  });
  const resident = await cleanup.within(async (inner) => {
    const server = await serve(inner, { logLevel: 'info' });
    return grown(inner, server, async () => (await settledMemory(server.pid)) * 1024);
  });
  return [
    {
      name: 'held-names-1000',
      value: used,
      unit: 'MiB',
      compared_with: { reach: 2, 'resident memory of bin/sidekey serve': resident },
      how: `heap and buffers after collection, a tenth of what ${TIMES} streams of ${NAMES} names each take that no entry gives, on a connection each, with their decisions on record; after another such stream, which pays for what is made once`,
    },
  ];
}

/** Of a tenth of the names, in MiB. */
async function grown(cleanup: Cleanup, server: Place, look: () => Promise<number>): Promise<number> {
  hold(cleanup, server, 'first');
  await held(server, NAMES);
  const before = await look();
  for (let i = 0; i < TIMES; i += 1) hold(cleanup, server, `more-${i}`);
  await held(server, NAMES * (TIMES + 1));
  return round(((await look()) - before) / TIMES / MIB);
}

function hold(cleanup: Cleanup, { socket }: Place, group: string): void {
  const client = new SdsClient(socket);
  cleanup.after(() => client.close());
  const stream = client.stream();
  cleanup.after(() => stream.cancel());
  const resourceNames = Array.from({ length: NAMES }, (_, i) => `spiffe://${TRUST_DOMAIN}/${group}/${i}`);
  stream.send({ node: { id: group }, resourceNames });
}

/** Waits until so many are held, and the last of them is on record. */
async function held({ adminSocket }: Place, names: number): Promise<void> {
  for (;;) {
    const { proxies } = (await requestAdmin(adminSocket, 'GET', '/v1/proxies')).body as ProxyPageJson;
    const secrets = proxies.flatMap(({ streams }) => streams.flatMap((stream) => stream.secrets));
    if (secrets.filter(({ state }) => state === 'held').length >= names) break;
    await pause(100);
  }
  // Who asks for decisions waits until those before are written.
  const page = (await requestAdmin(adminSocket, 'GET', '/v1/decisions?limit=1')).body as DecisionPageJson;
  if (page.decisions.length === 0) throw new Error('nothing is on record');
}
