/** A server and agents on other hosts: entries, SVIDs, bundles, revocation and rotation reach real Envoys there. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { DOMAIN_ID, give, joining, runAgent, startAgent, startFleet } from '../support/fleet.ts';
import { OTHER, startMeshEnvoy, WEB } from '../support/mesh.ts';
import { fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { chainOf, namesOf, openStream, rootsOf, secretOf } from '../support/sds-client.ts';
import { makePlace, type Served } from '../support/serve.ts';

const CLIENT = `${DOMAIN_ID}/client`;
let envoy: { readonly path: string };

before(async () => {
  envoy = await findEnvoy({ tell: (line) => console.error(line) });
});

/** Asks until it is so. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; !(await condition()); tries += 1) {
    assert.ok(tries < 600, `${what}: not within 30 s`);
    await sleep(50);
  }
}

async function rootsIn(server: Served): Promise<{ id: string; state: string }[]> {
  const { body } = await server.request('GET', '/v1/ca');
  return body.authorities.filter(({ role }: { role: string }) => role === 'root');
}

test('entries of a server reach waiting Envoys of the host that they name, and no other', async (t) => {
  const fleet = await startFleet(t);
  const [a, b] = [await startAgent(t, fleet, 'a'), await startAgent(t, fleet, 'b')];
  const onA = openStream(t, a.socket, CLIENT, DOMAIN_ID);
  const onB = openStream(t, b.socket, CLIENT);
  await a.loggedLike(/waits|held/);
  const id = await give(fleet.server, CLIENT, a.hostId);
  const first = await onA.next();
  const [leaf] = chainOf(secretOf(first, CLIENT));
  assert.equal(leaf!.subjectAltName, `URI:${CLIENT}`);
  const bundle = namesOf(first).includes(DOMAIN_ID) ? first : await onA.next();
  assert.equal(rootsOf(secretOf(bundle, DOMAIN_ID)).length, 1);

  await fleet.server.request('PATCH', `/v1/entries/${id}`, { dns_names: ['client.example'] });
  onA.ack(first, [CLIENT, DOMAIN_ID]);
  const second = await onA.next();
  assert.match(chainOf(secretOf(second, CLIENT))[0]!.subjectAltName ?? '', /DNS:client.example/);

  await fleet.server.request('PATCH', `/v1/entries/${id}`, { parent_id: b.hostId });
  const moved = await onB.next();
  assert.deepEqual(namesOf(moved), [CLIENT]);
  const { body } = await a.request('GET', '/v1/entries');
  assert.deepEqual(body.entries, []);
});

test('Envoys of two hosts use mTLS; a revoked certificate is refused on the other host', async (t) => {
  const fleet = await startFleet(t);
  const { server } = fleet;
  const [a, b] = [await startAgent(t, fleet, 'a'), await startAgent(t, fleet, 'b')];
  for (const id of [WEB, OTHER]) await give(server, id, a.hostId);
  await give(server, CLIENT, b.hostId);
  const { port } = await startMeshEnvoy(t, envoy.path, a.socket);
  const credentials = await fetchCredentials(b.socket, CLIENT);
  assert.equal((await mtlsRequest(port, credentials)).status, 200);

  const { serialNumber } = new X509Certificate(credentials.cert);
  const revoked = await server.request('POST', '/v1/revocations', { serial: serialNumber.toLowerCase(), wait: 5 });
  assert.equal(revoked.status, 200, JSON.stringify(revoked.body));
  const agents = (revoked.body.proxies as { node_id: string; state: string }[]).filter(({ node_id }) =>
    node_id.includes('/spire/agent/'),
  );
  assert.ok(
    agents.some(({ state }) => state === 'refusing'),
    JSON.stringify(revoked.body.proxies),
  );
  await assert.rejects(mtlsRequest(port, credentials));
  // The holder gets another one.
  assert.equal((await mtlsRequest(port, await fetchCredentials(b.socket, CLIENT))).status, 200);
});

test('a new root signs once the Envoys of all hosts have acknowledged it', async (t) => {
  const fleet = await startFleet(t, ['--root-publish-time', '0s']);
  const { server } = fleet;
  const a = await startAgent(t, fleet, 'a');
  for (const id of [WEB, OTHER]) await give(server, id, a.hostId);
  await startMeshEnvoy(t, envoy.path, a.socket);
  // A proxy that has been sent the bundle and does not answer.
  const slow = openStream(t, a.socket, DOMAIN_ID);
  slow.ack(await slow.next());
  assert.equal((await server.request('POST', '/v1/ca/rotate', { role: 'root' })).status, 200);
  const withNew = await slow.next();
  const waiting = async () => {
    const { body } = await server.request('GET', '/v1/ca');
    const next = body.authorities.find(
      ({ role, state }: Record<string, string>) => role === 'root' && state !== 'active',
    );
    return next?.waits_for ?? [];
  };
  await until(
    async () => JSON.stringify(await waiting()).includes('/spire/agent/'),
    'the server knows of the slow proxy',
  );
  slow.ack(withNew);
  await until(
    async () => (await rootsIn(server)).some(({ state }) => state === 'retired' || state === 'old'),
    'the new root signs',
  );
});

test('server and agents are killed in turn: SVIDs stay, and both go on', async (t) => {
  const fleet = await startFleet(t);
  const a = await startAgent(t, fleet, 'a');
  const id = await give(fleet.server, CLIENT, a.hostId);
  await fetchCredentials(a.socket, CLIENT);
  await fleet.server.stop('SIGKILL');
  await a.loggedLike(/no server can be reached/);
  // It serves what it has.
  await fetchCredentials(a.socket, CLIENT);
  const { body } = await a.request('GET', '/readyz');
  assert.match(JSON.stringify(body), /has been away/);
  const server = await fleet.begin();
  const other = `${DOMAIN_ID}/other-client`;
  await give(server, other, a.hostId);
  await until(async () => (await a.request('GET', '/v1/entries')).body.entries.length === 2, 'the new entry arrives');
  await fetchCredentials(a.socket, other);

  await a.stop('SIGKILL');
  const again = runAgent(t, a, fleet.port);
  await again.logged('serving');
  await fetchCredentials(again.socket, CLIENT);
  await server.request('DELETE', `/v1/entries/${id}`);
  await until(
    async () => (await again.request('GET', '/v1/entries')).body.entries.length === 1,
    'the deletion arrives',
  );
});

test('an agent refuses a server with another root, and one of another trust domain', async (t) => {
  const fleet = await startFleet(t);
  const place = makePlace(t);
  const flags = await joining(fleet.server, place, `${DOMAIN_ID}/host/a`);
  await fleet.server.stop();
  await fleet.begin(makePlace(t));
  const agent = runAgent(t, place, fleet.port, flags);
  await assert.rejects(agent.logged('serving'));

  const foreign = { ...makePlace(t), trustDomain: 'other.example' };
  const stranger = runAgent(t, foreign, fleet.port, ['--join-token', 'x', '--insecure-bootstrap']);
  await assert.rejects(stranger.logged('serving'));
});

test('a banned agent ends, and says what to do', async (t) => {
  const fleet = await startFleet(t);
  const a = await startAgent(t, fleet, 'a');
  const [{ id }] = (await fleet.server.request('GET', '/v1/agents')).body.agents;
  const banned = await fleet.server.request('POST', `/v1/agents/${encodeURIComponent(id)}/ban`);
  assert.equal(banned.status, 200);
  assert.equal((await a.stop('SIGCONT')).code, 1);
});
