/** This server fetches bundles that go-spiffe's federation package serves, in both profiles, through changes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAuthority, type TestAuthority } from '../support/bundle-endpoint.ts';
import { goSpiffe } from './fetch.ts';
import { ID, OTHER, spiffe, startPolling, web } from './support.ts';

const bundleOf = (sequence: number, ...roots: readonly TestAuthority[]) => ({
  keys: roots.map(({ key }) => key),
  spiffe_sequence: sequence,
  spiffe_refresh_hint: 2,
});

test('go-spiffe is read over https_spiffe, while its root is replaced', { timeout: 300_000 }, async (t) => {
  const go = await goSpiffe(t);
  if ('skip' in go) return t.skip(go.skip);
  const [former, next, stranger] = await Promise.all(['former', 'next', 'stranger'].map((name) => makeAuthority(name)));
  const leafOf = (root: TestAuthority | undefined) => root!.leaf({ uris: [ID] });
  const leaf = await leafOf(former);
  const endpoint = await go.serve(OTHER, 'spiffe', { bundle: bundleOf(1, former!), leaf });
  const { create, federation, registry, clock } = await startPolling(t);
  const present = () => registry.federatedBundles.get(OTHER)!;
  const roots = () => present().x509Authorities.length;
  const made = await create(spiffe(endpoint.url, former!.pem));
  assert.equal(made.fetchError, undefined);
  assert.deepEqual([present().source, present().refreshHint, roots()], ['polled', 2, 1]);

  await endpoint.replace({ bundle: bundleOf(2, former!, next!), leaf });
  // The poll at the refresh hint, not one that is asked for.
  const stored = new Promise<void>((resolve) => {
    t.after(registry.federatedBundles.onChange(() => resolve()));
  });
  clock.advance(2_000);
  await stored;
  assert.deepEqual([present().statedSequence, roots()], [2n, 2]);
  await endpoint.replace({ bundle: bundleOf(3, next!), leaf: await leafOf(next) });
  assert.deepEqual(await federation.refresh(OTHER, false), { changed: true });
  assert.deepEqual([roots(), federation.get(OTHER).status.state], [1, 'fresh']);

  await endpoint.replace({ bundle: bundleOf(4, stranger!), leaf: await leafOf(stranger) });
  await assert.rejects(federation.refresh(OTHER, false), { code: 'ERR_FEDERATION', message: /not signed by/ });
  assert.equal(federation.get(OTHER).status.state, 'stale-bootstrap');
  assert.ok(present().x509Authorities[0]!.equals(next!.certificate.raw), 'the last good bundle stays');
});

test('go-spiffe is read over https_web with a CA file, through a change', { timeout: 300_000 }, async (t) => {
  const go = await goSpiffe(t);
  if ('skip' in go) return t.skip(go.skip);
  const [ca, former, next] = await Promise.all(['web CA', 'former', 'next'].map((name) => makeAuthority(name)));
  const leaf = await ca!.leaf({ hosts: ['127.0.0.1'] });
  const endpoint = await go.serve(OTHER, 'web', { bundle: bundleOf(1, former!), leaf });
  const { create, federation, registry } = await startPolling(t);
  const sequence = () => registry.federatedBundles.get(OTHER)!.statedSequence;
  assert.equal((await create(web(endpoint.url, ca!.pem))).fetchError, undefined);
  assert.equal(sequence(), 1n);
  await endpoint.replace({ bundle: bundleOf(2, former!, next!), leaf });
  assert.deepEqual(await federation.refresh(OTHER, false), { changed: true });
  assert.equal(sequence(), 2n);
  await endpoint.replace({ bundle: bundleOf(3, next!), leaf: await former!.leaf({ hosts: ['127.0.0.1'] }) });
  await assert.rejects(federation.refresh(OTHER, false), {
    code: 'ERR_FEDERATION',
    message: /the CA of the relationship/,
  });
  assert.equal(sequence(), 2n);
});
