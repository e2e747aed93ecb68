import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import { makePlace, serve } from '../support/serve.ts';

test('a bundle and an alias that were answered for are there after the server is killed', {
  timeout: 60_000,
}, async (t) => {
  const place = makePlace(t);
  const [one, two] = await Promise.all([makeCertificate({ name: 'one' }), makeCertificate({ name: 'two' })]);
  const first = await serve(t, { place });
  const document = { spiffe_sequence: 7, spiffe_refresh_hint: 60, keys: [one.key, two.key] };
  assert.equal((await first.request('PUT', '/v1/bundles/other.example', document)).status, 201);
  assert.equal((await first.request('PUT', '/v1/bundles/gone.example', document)).status, 201);
  assert.equal((await first.request('DELETE', '/v1/bundles/gone.example')).status, 204);
  const alias = await first.request('PUT', '/v1/aliases/web.example', { spiffe_id: 'spiffe://ilinux.io/web' });
  assert.equal(alias.status, 201);
  await first.stop('SIGKILL');

  const second = await serve(t, { place });
  assert.deepEqual((await second.request('GET', '/v1/bundles/other.example')).body, document);
  assert.equal((await second.request('GET', '/v1/bundles/gone.example')).status, 404);
  const { warnings: _, ...made } = alias.body;
  assert.deepEqual((await second.request('GET', '/v1/aliases')).body, { aliases: [made] });
  await second.stop();
});
