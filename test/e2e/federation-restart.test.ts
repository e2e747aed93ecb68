/** What a restart makes of relationships, whatever their state: bundles stay, and the polls find the state again. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { until } from '../support/process-state.ts';
import { makePlace, type Served, serve } from '../support/serve.ts';

const FLAGS = ['--federation-min-refresh', '1s', '--federation-allow', '127.0.0.0/8'];
/** The state of each domain, and the number of authorities that its bundle keeps; null: it has none. */
const EXPECTED = {
  'failing.example': ['failing', 1],
  'fresh.example': ['fresh', 1],
  'new.example': ['new', null],
  'revoked.example': ['revoked', 0],
  'stale.example': ['stale-bootstrap', 1],
} as const;

async function statesOf(server: Served) {
  const { body } = await server.request('GET', '/v1/federation');
  const list = body.relationships as {
    trust_domain: string;
    state: string;
    bundle: { x509_authorities: number } | null;
  }[];
  return Object.fromEntries(
    list.map(({ trust_domain: name, state, bundle }) => [name, [state, bundle?.x509_authorities ?? null]]),
  );
}

describe('after a restart', { timeout: 120_000 }, () => {
  it('each relationship is as before, whatever its state, and so is its bundle', async (t) => {
    const [ca, root, thief] = [await makeAuthority('CA'), await makeAuthority('root'), await makeAuthority('thief')];
    const host = await ca.leaf({ hosts: ['127.0.0.1'] });
    const id = 'spiffe://stale.example/endpoint';
    const good = { keys: [root.key], spiffe_sequence: 1, spiffe_refresh_hint: 1 };
    const [fresh, failing, revoked, silent] = await Promise.all([1, 2, 3, 4].map(() => bundleEndpoint(t, host)));
    const stale = await bundleEndpoint(t, await root.leaf({ uris: [id] }));
    for (const one of [fresh!, failing!, revoked!, stale]) one.answer(good);
    // Its first fetch never ends.
    silent!.answer(() => undefined);
    const place = makePlace(t);
    let server = await serve(t, { place, flags: FLAGS });
    const create = async (name: string, url: string, more: object) => {
      const { status } = await server.request('POST', '/v1/federation', {
        ...{ trust_domain: name, bundle_endpoint_url: url },
        ...more,
      });
      assert.equal(status, 201);
    };
    const web = { bundle_endpoint_profile: 'https_web', endpoint_ca: ca.pem };
    await create('fresh.example', fresh!.url, web);
    await create('failing.example', failing!.url, web);
    await create('revoked.example', revoked!.url, web);
    const spiffe = { bundle_endpoint_profile: 'https_spiffe', endpoint_spiffe_id: id, trust_domain_bundle: root.pem };
    await create('stale.example', stale.url, spiffe);
    // The answer comes after the first fetch; the relationship is there before.
    void create('new.example', silent!.url, web).catch(() => undefined);
    failing!.answer((_request, response) => response.writeHead(500).end());
    revoked!.answer({ keys: [], spiffe_sequence: 2, spiffe_refresh_hint: 1 });
    stale.present(await thief.leaf({ uris: [id] }));
    const areAsExpected = async () => JSON.stringify(await statesOf(server)) === JSON.stringify(EXPECTED);
    await until(areAsExpected);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await server.stop(signal);
      server = await serve(t, { place, flags: FLAGS });
      // Before the first polls nothing is known of the endpoints, but the bundles are in use.
      const atOnce = await statesOf(server);
      for (const [name, [, authorities]] of Object.entries(EXPECTED)) {
        assert.equal(atOnce[name]![1], authorities, `${name} after ${signal}`);
      }
      await until(areAsExpected);
    }
  });
});
