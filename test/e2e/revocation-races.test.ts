/** Revocations that meet each other, or something that excludes them, on a real server. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import { CLIENT, createEntry, DOMAIN, OTHER } from '../support/mesh.ts';
import { fetchCredentials } from '../support/mtls-client.ts';
import { until } from '../support/process-state.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { type Served, serve } from '../support/serve.ts';
import { WorkloadClient } from '../support/workload-client.ts';

const revoke = (server: Served, what: object) =>
  server.request('POST', '/v1/revocations', { reason: 'key-compromise', ...what });

const listed = async (server: Served): Promise<number> => {
  const { body } = await server.request('GET', '/v1/revocations');
  return body.lists.reduce((sum: number, { entries }: { entries: number }) => sum + entries, 0);
};

/** A proxy that holds an SVID of CLIENT and acknowledges nothing. */
async function holder(t: TestContext, server: Served, spiffeId = CLIENT) {
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  const stream = client.stream();
  stream.ask(spiffeId);
  return { stream, first: await stream.next() };
}

/** Resolves when the certificates are recorded as revoked. */
const recorded = (server: Served) => until(async () => (await server.request('GET', '/v1/revocations')).body.total > 0);

describe('while a revocation waits for holders of the SVID', { timeout: 60_000 }, () => {
  it('a root whose key is elsewhere is not taken into the bundle', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    await holder(t, server);
    const { pem } = await makeCertificate({ uris: [DOMAIN] });
    const revoking = revoke(server, { spiffe_id: CLIENT });
    await recorded(server);
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const carried = await server.request('POST', '/v1/ca/carried', { certificates: pem, until });
    assert.deepEqual([carried.status, carried.body.code], [409, 'ERR_AUTHORITY_STATE'], JSON.stringify(carried.body));
    assert.equal((await revoking).status, 200);
    assert.equal(await listed(server), 1);
  });

  it('its list is published by the next server if this one is killed', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    await holder(t, server);
    void revoke(server, { spiffe_id: CLIENT }).catch(() => undefined);
    await recorded(server);
    await server.stop('SIGKILL');
    assert.equal(await listed(await serve(t, { place: server })), 1);
  });

  for (const how of [{ now: true }, {}]) {
    it(`a second one answers when the list has the certificate, with ${JSON.stringify(how)}`, async (t) => {
      const server = await serve(t);
      await createEntry(server, CLIENT);
      await holder(t, server);
      const revoking = revoke(server, { spiffe_id: CLIENT });
      await recorded(server);
      const [{ serial }] = (await server.request('GET', '/v1/revocations')).body.revocations;
      const { body } = await revoke(server, { serial, ...how });
      assert.equal(await listed(server), 1);
      assert.equal(body.already, 1);
      await revoking;
      assert.equal(await listed(server), 1);
    });
  }
});

describe('a client of the Workload API', { timeout: 60_000 }, () => {
  it('has the present lists, also when a key of tokens changed since, or when it reads no X.509 bundles', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    const client = new WorkloadClient(t, server.socket);
    const jwt = client.jwtBundles();
    await jwt.next();
    await client.x509Svids().next();
    const states = ({ proxies }: { proxies: { name: string; state: string }[] }) => proxies.map(({ state }) => state);
    const { body } = await revoke(server, { spiffe_id: CLIENT, wait: 10 });
    assert.deepEqual(states(body), ['informed']);
    const { authorities } = (await server.request('GET', '/v1/ca')).body;
    const key = authorities.find(
      ({ role, state }: { role: string; state: string }) => role === 'jwt' && state === 'active',
    );
    await server.request('POST', `/v1/ca/${key.id}/taint`);
    await jwt.next();
    await until(async () => states((await server.request('GET', '/v1/revocations')).body)[0] === 'informed');
    await server.request('POST', '/v1/ca/rotate', { role: 'root' });
    const isWaitedFor = ({ waits_for: proxies }: { waits_for: unknown[] }) => proxies.length > 0;
    await until(async () => !(await server.request('GET', '/v1/ca')).body.authorities.some(isWaitedFor));
  });
});

describe('a revocation', { timeout: 60_000 }, () => {
  it('does not wait for proxies that hold other SVIDs', async (t) => {
    const server = await serve(t);
    for (const id of [CLIENT, OTHER]) await createEntry(server, id);
    await holder(t, server, OTHER);
    const { stream, first } = await holder(t, server);
    stream.ack(first);
    const revoking = revoke(server, { spiffe_id: CLIENT });
    const renewed = await stream.next();
    stream.ack(renewed, namesOf(renewed));
    assert.deepEqual((await revoking).body.replaced, { asked: 1, acknowledged: 1 });
  });

  it('counts no caller that was sent nothing, and those that have an SVID alone as unreachable', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    const stranger = new SdsClient(server.socket);
    t.after(() => stranger.close());
    stranger.stream().ask(OTHER);
    const isHeld = ({ streams }: { streams: { secrets: { state: string }[] }[] }) =>
      streams[0]?.secrets[0]?.state === 'held';
    await until(async () => (await server.request('GET', '/v1/proxies')).body.proxies.some(isHeld));
    const { stream, first } = await holder(t, server);
    stream.ack(first);
    const { body } = await revoke(server, { spiffe_id: CLIENT, now: true });
    assert.deepEqual(
      body.proxies.map(({ name, state }: { name: string; state: string }) => [name, state]),
      [[CLIENT, 'unreachable']],
    );
  });

  it('that is final makes one on hold final', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    await fetchCredentials(server.socket, CLIENT);
    const held = await revoke(server, { spiffe_id: CLIENT, reason: 'certificate-hold' });
    const [{ serial }] = held.body.revoked;
    const { body } = await revoke(server, { serial, reason: 'key-compromise' });
    assert.deepEqual(
      body.revoked.map((one: { serial: string; reason: string }) => [one.serial, one.reason]),
      [[serial, 'key-compromise']],
    );
    const undone = await server.request('DELETE', `/v1/revocations/${serial}`);
    assert.deepEqual([undone.status, undone.body.code], [409, 'ERR_REVOCATION']);
    assert.equal(await listed(server), 1);
  });
});
