import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { version } from '../../src/base/version.ts';
import { entryToJson } from '../../src/registry/entry-json.ts';
import { bundleOf, give, ok, startServer, tokenOf } from './server.ts';
import { open, request, until } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const TWO = 'spiffe://ilinux.io/two';

test('an agent joins with a token, gets entries, SVIDs and tokens, and goes on after restarts of either side', async (t) => {
  const { server, port, begin } = await startServer(t);
  const { token, id } = await tokenOf(server);
  const bundle = await bundleOf(server);
  const first = await open(t, { ports: [port], bundle, token });
  const { uplink, mirror, dataDir } = first;
  assert.partialDeepStrictEqual(uplink.status, { state: 'connected', server: `127.0.0.1:${port}`, agentId: id });
  assert.deepEqual(mirror.ids, []);
  const entry = await give(server, WEB, id, { hint: 'h', dns_names: ['web.example'], x509_svid_ttl: 600 });
  await give(server, 'spiffe://ilinux.io/local', 'spiffe://ilinux.io/sidekey/agent/local');
  await until('the entry', () => mirror.ids.join() === WEB);
  assert.partialDeepStrictEqual(mirror.byId.get(entry.id), { hint: 'h', dnsNames: ['web.example'], x509SvidTtl: 600 });

  const answers = await uplink.newSvids([await request(entry.id), await request('unknown')]);
  assert.ok('certificates' in answers[0]!);
  assert.equal(new X509Certificate(answers[0].certificates[0]!).subjectAltName, `URI:${WEB}, DNS:web.example`);
  assert.ok('fault' in answers[1]!);
  assert.match(answers[1].fault.message, /NOT_FOUND.*the agent has no such entry/);
  const jwt = await uplink.newJwtSvid(entry.id, ['audience']);
  assert.ok(jwt.token.split('.').length === 3 && jwt.expiresAt > jwt.issuedAt && jwt.issuedAt > 1e12);
  await wait('its version', {
    look: async () => (await ok(server.request('GET', '/v1/agents'))).agents[0]?.version,
    until: (found) => found === version(),
    within: 20_000,
  });

  const file = path.join(dataDir, 'agent.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.partialDeepStrictEqual(JSON.parse(readFileSync(file, 'utf8')), {
    ...{ version: 1, trust_domain: 'ilinux.io', agent_id: id, reattestable: false, joined_insecurely: false },
  });
  assert.ok(!JSON.stringify(first.log).includes(token));

  await server.stop('SIGTERM');
  await until('it to be away', () => uplink.status.state === 'away');
  assert.deepEqual(mirror.ids, [WEB]);
  const again = await begin(server);
  await give(again, TWO, id);
  await until('the new entry', () => mirror.ids.join() === [TWO, WEB].join());
  await uplink.close();

  const second = await open(t, { ports: [port], dataDir });
  assert.partialDeepStrictEqual(second.uplink.status, { state: 'connected', agentId: id });
  assert.deepEqual(second.mirror.ids, [TWO, WEB]);
  await second.uplink.close();

  await again.stop('SIGTERM');
  const alone = await open(t, { ports: [port], dataDir });
  assert.partialDeepStrictEqual(alone.uplink.status, { state: 'away', agentId: id });
});

test('over the push stream changes come at once, with SVIDs, bundles, aliases and revocations', async (t) => {
  const { server, port } = await startServer(t);
  const { token, id } = await tokenOf(server);
  const { uplink, mirror } = await open(t, { ports: [port], bundle: await bundleOf(server), token });
  assert.partialDeepStrictEqual(uplink.status, { kind: 'sidekey', serverVersion: version(), x509SvidTtl: 3_600 });
  const entry = await give(server, WEB, id, { federates_with: ['other.example'], allow_contained: true });
  await until('the entry', () => mirror.ids.join() === WEB);
  const kept = mirror.byId.get(entry.id)!;
  assert.deepEqual(entryToJson(kept), await ok(server.request('GET', `/v1/entries/${entry.id}`)));
  assert.match(mirror.authority!.signing!, /^[0-9a-f]{40}$/);

  const [made] = await uplink.newSvids([await request(entry.id)]);
  assert.ok('certificates' in made!);
  const serial = new X509Certificate(made.certificates[0]!).serialNumber.toLowerCase();
  await ok(server.request('POST', '/v1/revocations', { serial, reason: 'key-compromise' }));
  await until('the revocation', () => mirror.revoked!.serials.has(serial));
  await until('the list', () => mirror.bundles.get('ilinux.io')!.crls.length > 0);

  await ok(server.request('POST', '/v1/ca/rotate', { role: 'intermediate' }));
  const { signing } = mirror.authority!;
  await until('the next authority', () => mirror.authority!.signing !== signing);

  await ok(server.request('DELETE', `/v1/entries/${entry.id}`));
  await until('it to be gone', () => mirror.byId.size === 0);
});

test('a banned agent ends at once, and an evicted one with a token too', async (t) => {
  const { server, port } = await startServer(t);
  const bundle = await bundleOf(server);
  for (const [method, action, why] of [
    ['POST', '/ban', /banned.*sidekey agent evict/s],
    ['DELETE', '', /evicted.*sidekey agent token/s],
  ] as const) {
    const { token, id } = await tokenOf(server);
    const { fatal, dataDir } = await open(t, { ports: [port], bundle, token });
    await ok(server.request(method, `/v1/agents/${encodeURIComponent(id)}${action}`));
    assert.match((await fatal).message, why);
    // Nor can it come back, until it gets another token.
    await assert.rejects(open(t, { ports: [port], dataDir }), { code: 'ERR_ATTACH', message: why });
  }
});

test('a token works once', async (t) => {
  const { server, port } = await startServer(t);
  const { token } = await tokenOf(server);
  const given = { ports: [port], bundle: await bundleOf(server), token };
  await open(t, given);
  await assert.rejects(open(t, given), { code: 'ERR_ATTACH', message: /was used.*sidekey agent token/s });
});
