/**
 * From the REST call that makes an entry to a real Envoy, which waited for it, having applied the secret: it says so by its
 * ACK, which the server tells of. To ask its admin port without a pause took more of Envoy's one thread than all the rest.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { startEnvoy } from '../load/envoy.ts';
import { Events } from '../load/events.ts';

const TIMES = 100;
const NAMES = Array.from({ length: TIMES }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);

export async function entryToEnvoy(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const { version, stats } = await startEnvoy(cleanup, server, NAMES);
  // The admin API is loaded when it is first asked.
  const events = await Events.open(cleanup, server.adminSocket);
  await allHeld(server);
  const sample: number[] = [];
  for (const name of NAMES) sample.push(await measure(server, events, name));
  for (const name of NAMES) await stats.until(name, 'update_success', 1);
  const compared = { reach: 8, 'SPIRE 1.16-dev p50': 17_800, 'bare push to ACK of an Envoy p50': 1.4 };
  const how = `${TIMES} entries made one after the other, a stream of one Envoy ${version} waiting for each; until the event "acked" of GET /v1/events has come; in the end Envoy's admin port shows sds.<name>.update_success of all`;
  return [
    { name: 'entry-to-envoy-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: compared, how },
    {
      name: 'entry-to-envoy-p99',
      value: percentile(sample, 0.99),
      unit: 'ms',
      compared_with: { reach: 40, 'SPIRE 1.16-dev p99': 27_500 },
      how,
    },
  ];
}

/** An Envoy has asked when it has given its requests to its socket; it waits when they have arrived and nothing came of them. */
async function allHeld(server: Served): Promise<void> {
  while (server.log.filter(({ msg }) => msg === 'name held').length < TIMES) await nextTurn();
}

async function measure(server: Served, events: Events, name: string): Promise<number> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const acked = events.next('acked');
  const begun = performance.now();
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id: name, selectors });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  return (await acked) - begun;
}
