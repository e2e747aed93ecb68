/** From the REST call that makes an entry to a real Envoy, which waited for it, having applied the secret. */

import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { type EnvoyStats, startEnvoy } from '../load/envoy.ts';

const TIMES = 100;
const NAMES = Array.from({ length: TIMES }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);

export async function entryToEnvoy(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const { version, stats } = await startEnvoy(cleanup, server, NAMES);
  // A server that somebody has looked at: its admin API is loaded when it is first asked.
  const { status } = await server.request('GET', '/v1/entries');
  if (status !== 200) throw new Error(`GET /v1/entries answered ${status}`);
  const sample: number[] = [];
  for (const name of NAMES) sample.push(await measure(server, stats, name));
  const compared = { reach: 8, 'SPIRE 1.16-dev p50': 17_800, 'bare push to ACK of an Envoy p50': 1.4 };
  const how = `${TIMES} entries made one after the other on a server that has listed its entries once, a stream of one Envoy ${version} waiting for each; until Envoy's admin port shows sds.<name>.update_success, asked without pause`;
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

async function measure(server: Served, stats: EnvoyStats, name: string): Promise<number> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const begun = performance.now();
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id: name, selectors });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  await stats.until(name, 'update_success', 1);
  return performance.now() - begun;
}
