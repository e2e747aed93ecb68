/** How long it takes to explain why a process does not have an identity, against 10,000 entries. */

import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const ENTRIES = 10_000;
const RUNS = 200;

export async function explain(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const entries = Array.from({ length: ENTRIES }, (_, i) => ({
    spiffe_id: `spiffe://${TRUST_DOMAIN}/bench/${i}`,
    selectors: [`unix:uid:${process.getuid!()}`, `unix:path:/srv/app-${i}/bin`, `unix:supplementary_gid:${i + 100}`],
  }));
  for (let start = 0; start < ENTRIES; start += 2_000) {
    const body = { entries: entries.slice(start, start + 2_000) };
    const made = await server.request('POST', '/v1/entries', body);
    if (made.status !== 201) throw new Error(`status ${made.status}`);
  }
  const asked = encodeURIComponent(`spiffe://${TRUST_DOMAIN}/bench/10000x`);
  const sample: number[] = [];
  for (let run = 0; run < 2 * RUNS; run += 1) {
    // In turns: the nearest of all entries, and a SPIFFE ID that nobody gives, for which a likely one is looked for.
    const query = run % 2 === 0 ? '' : `&spiffe_id=${asked}`;
    const begun = performance.now();
    const { status } = await server.request('GET', `/v1/explain?pid=${process.pid}${query}`);
    // The first half warms up.
    if (run >= RUNS) sample.push(performance.now() - begun);
    if (status !== 200) throw new Error(`status ${status}`);
  }
  return [
    {
      name: 'explain',
      value: percentile(sample, 0.5),
      unit: 'ms',
      compared_with: { reach: 20, p99: percentile(sample, 0.99) },
      how: `p50 of ${RUNS} GET /v1/explain?pid over the admin socket, attestors and JSON included, against ${ENTRIES} entries of 3 selectors that all lack 2`,
    },
  ];
}
