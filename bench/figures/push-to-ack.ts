/** From the push of one changed secret to a real Envoy's ACK, as the events tell. */

import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { startEnvoy } from '../load/envoy.ts';
import { Events } from '../load/events.ts';

const TIMES = 200;
const NAME = `spiffe://${TRUST_DOMAIN}/bench`;

export async function pushToAck(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const { body } = await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  const { version, stats } = await startEnvoy(cleanup, server, [NAME]);
  await stats.until(NAME, 'update_success', 1);
  const events = await Events.open(cleanup, server.adminSocket);
  const sample: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const sent = events.next('sent');
    const acked = events.next('acked');
    await server.request('PATCH', `/v1/entries/${body.id}`, { dns_names: [`n${i}.example.org`] });
    sample.push((await acked) - (await sent));
  }
  const how = `${TIMES} changes of an entry's DNS names, one after the other; between the arrivals of the events "sent" and "acked" of GET /v1/events; Envoy ${version}, state of the world`;
  const compared = { reach: 3, 'bare push to ACK of an Envoy': 1.4 };
  return [
    { name: 'push-to-ack-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: compared, how },
    { name: 'push-to-ack-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: {}, how },
  ];
}
