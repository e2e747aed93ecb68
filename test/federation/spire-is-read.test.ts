/** This server fetches the bundle of a real SPIRE server, through a rotation of its CA. Opt-in: see `spire-server.ts`. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startSpireServer, whyNoSpireServer } from './spire-server.ts';
import { OTHER, spiffe, startPolling } from './support.ts';

test('a real SPIRE is read over https_spiffe, through a rotation of its CA', {
  skip: whyNoSpireServer() ?? false,
  timeout: 180_000,
}, async (t: TestContext) => {
  const spire = await startSpireServer(t, OTHER);
  const bootstrap = JSON.parse((await spire.ask('bundle', 'show', '-format', 'spiffe')).stdout) as object;
  const { create, federation, registry } = await startPolling(t);
  const made = await create(
    spiffe(`https://127.0.0.1:${spire.endpointPort}/`, undefined, { trust_domain_bundle: bootstrap }),
  );
  assert.equal(made.fetchError, undefined);
  const first = registry.federatedBundles.get(OTHER)!;
  assert.deepEqual([first.source, first.x509Authorities.length, first.jwtAuthorities.length > 0], ['polled', 1, true]);
  assert.equal(first.refreshHint, 60);
  const prepared = await spire.ask('localauthority', 'x509', 'prepare', '-output', 'json');
  assert.equal(prepared.status, 0, prepared.stderr);
  const { prepared_authority: next } = JSON.parse(prepared.stdout) as { prepared_authority: { authority_id: string } };
  assert.deepEqual(await federation.refresh(OTHER, false), { changed: true });
  assert.equal(registry.federatedBundles.get(OTHER)!.x509Authorities.length, 2);
  const activated = await spire.ask('localauthority', 'x509', 'activate', '-authorityID', next.authority_id);
  assert.equal(activated.status, 0, activated.stderr);
  // Its endpoint's SVID is under the new CA, or soon is; both are known.
  await federation.refresh(OTHER, false);
  assert.equal(federation.get(OTHER).status.state, 'fresh');
});
