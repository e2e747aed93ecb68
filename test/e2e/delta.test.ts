/** Incremental SDS and secrets over ADS from outside: a real `bin/sidekey serve` and a client that speaks gRPC to it. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { DeltaDiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { chainOf, type DeltaStream, namesOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const API = `spiffe://${TRUST_DOMAIN}/api`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];

async function create(server: Served, spiffeId: string): Promise<string> {
  const answer = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors: MINE });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.id;
}

async function remove(server: Served, id: string): Promise<void> {
  assert.equal((await server.request('DELETE', `/v1/entries/${id}`)).status, 204);
}

function open(t: TestContext, server: Served, service: 'sds' | 'ads' = 'sds'): DeltaStream {
  const client = new SdsClient(server.socket);
  const stream = client.delta(service);
  t.after(() => {
    stream.cancel();
    client.close();
  });
  return stream;
}

const shown = (response: DeltaDiscoveryResponse) => ({ has: namesOf(response), removed: response.removedResources });
const serialOf = (response: DeltaDiscoveryResponse) => chainOf(secretOf(response, WEB))[0]!.serialNumber;

describe('incremental secret discovery on the pipe', { concurrency: 2, timeout: 60_000 }, () => {
  for (const service of ['sds', 'ads'] as const) {
    it(`gives what is asked for, then more, and tells what is gone (${service})`, async (t) => {
      const server = await serve(t);
      const id = await create(server, WEB);
      const stream = open(t, server, service);
      stream.ask(WEB, API, BUNDLE);
      const first = await stream.next();
      assert.deepEqual(shown(first), { has: [BUNDLE, WEB], removed: [] });
      assert.equal(first.controlPlane?.identifier, 'sidekey');
      assert.deepEqual(
        first.resources.map(({ name, resource }) => [name, resource?.typeUrl]).sort(),
        [BUNDLE, WEB].map((name) => [name, first.typeUrl]),
      );
      stream.ack(first);
      await create(server, API);
      const second = await stream.next();
      assert.deepEqual(shown(second), { has: [API], removed: [] });
      stream.ack(second);
      await remove(server, id);
      const third = await stream.next();
      assert.deepEqual(shown(third), { has: [], removed: [WEB] });
      stream.ack(third);
      await create(server, WEB);
      const fourth = await stream.next();
      assert.deepEqual(shown(fourth), { has: [WEB], removed: [] });
      assert.notEqual(serialOf(fourth), serialOf(first));
    });
  }

  it('says at once that there is nothing for a name that stands for nothing, and pushes it when an alias is set', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const stream = open(t, server);
    stream.ask('web.example.org');
    const first = await stream.next();
    assert.deepEqual(shown(first), { has: [], removed: ['web.example.org'] });
    stream.ack(first);
    const set = await server.request('PUT', '/v1/aliases/web.example.org', { spiffe_id: WEB });
    assert.ok(set.status < 300, JSON.stringify(set.body));
    const second = await stream.next();
    assert.equal(chainOf(secretOf(second, 'web.example.org'))[0]!.subjectAltName, `URI:${WEB}`);
  });

  it('spares a client that connects again what it has', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const before = open(t, server);
    before.ask(WEB, BUNDLE);
    const first = await before.next();
    before.cancel();
    const again = open(t, server);
    const versions = Object.fromEntries(first.resources.map(({ name, version }) => [name, version]));
    again.send({
      resourceNamesSubscribe: [WEB, BUNDLE],
      initialResourceVersions: { ...versions, [WEB]: 'older' },
      node: { id: 'test', cluster: 'test' },
    });
    assert.deepEqual(shown(await again.next()), { has: [WEB], removed: [] });
  });

  it('gives everything to a first request without names, and tells what leaves it', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    await create(server, API);
    const stream = open(t, server);
    stream.ask();
    const first = await stream.next();
    assert.deepEqual(shown(first), { has: [BUNDLE, API, WEB], removed: [] });
    stream.ack(first);
    await remove(server, id);
    assert.deepEqual(shown(await stream.next()), { has: [], removed: [WEB] });
  });

  it('sends nothing of a name that was dropped, and all of one that is asked for again', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    await create(server, API);
    const stream = open(t, server);
    stream.ask(WEB, API);
    const first = await stream.next();
    stream.ack(first);
    stream.send({ resourceNamesUnsubscribe: [WEB], resourceNamesSubscribe: [API] });
    const second = await stream.next();
    assert.deepEqual(shown(second), { has: [API], removed: [] });
    assert.equal(second.resources[0]!.version, first.resources.find(({ name }) => name === API)!.version);
    stream.ack(second);
    await remove(server, id);
    stream.send({ resourceNamesSubscribe: [API] });
    assert.deepEqual(shown(await stream.next()), { has: [API], removed: [] });
  });

  it('makes a new certificate after a NACK', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const stream = open(t, server);
    stream.ask(WEB);
    const first = await stream.next();
    stream.nack(first, 'test rejects it');
    assert.notEqual(serialOf(await stream.next()), serialOf(first));
  });

  it('refuses over ADS what says no type, or another one', async (t) => {
    const server = await serve(t);
    for (const typeUrl of ['', 'type.googleapis.com/envoy.config.listener.v3.Listener']) {
      for (const variant of ['stream', 'delta'] as const) {
        const client = new SdsClient(server.socket);
        t.after(() => client.close());
        const stream = client[variant]('ads');
        stream.send({ typeUrl });
        const status = await stream.status;
        assert.equal(status.code, 3);
        assert.match(status.details, /^type_url ".*" is not served; only type\.googleapis\.com\/\S+\.Secret is$/);
      }
    }
  });

  it('serves secrets over ADS by state of the world too', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream('ads');
    t.after(() => stream.cancel());
    stream.ask(WEB, BUNDLE);
    assert.deepEqual(namesOf(await stream.next()), [BUNDLE, WEB]);
  });
});
