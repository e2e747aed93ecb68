/** A thousand relationships, each polled once a minute: what that costs the server. */

import { setTimeout as pause } from 'node:timers/promises';
import { parseMetrics, sumOf } from '../../test/metrics/parse.ts';
import { bundleEndpoint, makeAuthority } from '../../test/support/bundle-endpoint.ts';
import { processorTimeOf } from '../../test/support/processor-time.ts';
import { serve } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';

const RELATIONSHIPS = 1_000;
const AT_ONCE = 8;
const WINDOW_MS = 60_000;
const ID = 'spiffe://bench.example/endpoint';

export async function federationPolls(cleanup: Cleanup): Promise<Figure[]> {
  const root = await makeAuthority();
  const endpoint = await bundleEndpoint(cleanup, await root.leaf({ uris: [ID] }));
  endpoint.answer({ keys: [root.key], spiffe_sequence: 1, spiffe_refresh_hint: 60 });
  const server = await serve(cleanup, { flags: ['--federation-allow', '127.0.0.0/8'], logLevel: 'info' });
  await server.request('PUT', '/v1/bundles/bench.example', { keys: [root.key] });
  const idleBefore = processorTimeOf(server.pid);
  await pause(10_000);
  const idle = ((processorTimeOf(server.pid) - idleBefore) / 10_000) * 100;
  let made = 0;
  const create = async () => {
    while (made < RELATIONSHIPS - 1) {
      const name = `d${made}.example`;
      made += 1;
      const { status, body } = await server.request('POST', '/v1/federation', {
        trust_domain: name,
        bundle_endpoint_url: endpoint.url,
        bundle_endpoint_profile: 'https_spiffe',
        endpoint_spiffe_id: ID,
      });
      if (status !== 201 || body.state !== 'fresh') throw new Error(JSON.stringify(body));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, create));
  const read = async () => (await server.request('GET', '/metrics')).body as string;
  // The polls have spread, and the slices of the scrape are behind.
  await read();
  await pause(5_000);
  const before = await read();
  const [polls, used] = [endpoint.requests.length, processorTimeOf(server.pid)];
  const begun = performance.now();
  await pause(WINDOW_MS);
  const elapsed = performance.now() - begun;
  const share = ((processorTimeOf(server.pid) - used) / elapsed) * 100;
  const polled = endpoint.requests.length - polls;
  const after = await read();
  const lag = longestLag(before, after) * 1_000;
  const fresh = sumOf(parseMetrics(after), 'sidekey_federation_relationships') ?? 0;
  return [
    {
      name: 'federation-polls',
      value: round(share),
      unit: '% of a core',
      compared_with: { reach: 6, 'idle, before': round(idle), polls: polled, relationships: fresh },
      how: `processor time of the server in ${WINDOW_MS / 1_000} s, ${RELATIONSHIPS - 1} relationships of https_spiffe with one endpoint on this machine, a TLS handshake for each poll, documents that do not change`,
    },
    {
      name: 'federation-pause',
      value: round(lag),
      unit: 'ms',
      compared_with: { reach: 20 },
      how: 'upper bound of the bucket that has the longest lag of the event loop in that time, looked at ten times a second',
    },
  ];
}

/** The bound of the histogram's bucket that has the longest lag between two scrapes, in seconds. */
function longestLag(before: string, after: string): number {
  const counts = (text: string) =>
    [...text.matchAll(/^sidekey_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)/gm)].map(([, le, count]) => ({
      le: Number(le === '+Inf' ? Number.POSITIVE_INFINITY : le),
      count: Number(count),
    }));
  const [first, last] = [counts(before), counts(after)];
  const added = last.map(({ le, count }, at) => ({ le, count: count - first[at]!.count }));
  const all = added.at(-1)!.count;
  return added.find(({ count }) => count === all)!.le;
}
