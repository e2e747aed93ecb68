/** Bundles of other trust domains, from REST to the streams: a real `bin/sidekey serve`. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SPIFFECertValidatorConfig } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type DeltaStream, namesOf, rootsOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const OWN = `spiffe://${TRUST_DOMAIN}`;
const OTHER = 'spiffe://other.example';
const root = await makeCertificate({ name: 'other' });

async function create(server: Served, name: string, federatesWith: readonly string[]): Promise<void> {
  const entry = {
    spiffe_id: `${OWN}/${name}`,
    selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
    federates_with: federatesWith,
  };
  const { status, body } = await server.request('POST', '/v1/entries', entry);
  assert.equal(status, 201, JSON.stringify(body));
}

async function set(server: Served, keys: readonly object[]): Promise<void> {
  const { status, body } = await server.request('PUT', '/v1/bundles/other.example', { keys });
  assert.ok(status === 200 || status === 201, JSON.stringify(body));
}

function clientOf(t: TestContext, server: Served): SdsClient {
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  return client;
}

function delta(t: TestContext, server: Served, ...names: string[]): DeltaStream {
  const stream = clientOf(t, server).delta();
  t.after(() => stream.cancel());
  stream.ask(...names);
  return stream;
}

describe("another trust domain's bundle", { timeout: 60_000 }, () => {
  it('comes when it is set, changes when it does, and its removal reaches every stream', async (t) => {
    const server = await serve(t);
    await create(server, 'web', ['other.example']);
    const byName = delta(t, server, OTHER);
    const all = delta(t, server, 'ALL');
    const everything = delta(t, server);
    const sotw = clientOf(t, server).stream();
    t.after(() => sotw.cancel());
    sotw.ask(OTHER);
    let inAll = await all.next();
    assert.equal(rootsOf(secretOf(inAll, 'ALL')).length, 1);
    all.ack(inAll);
    const begun = await everything.next();
    assert.deepEqual(namesOf(begun), [OWN, `${OWN}/web`]);
    everything.ack(begun);

    await set(server, [root.key]);
    const first = await byName.next();
    assert.deepEqual(
      rootsOf(secretOf(first, OTHER)).map(({ raw }) => raw),
      [root.der],
    );
    byName.ack(first);
    inAll = await all.next();
    const validator = secretOf(inAll, 'ALL').validationContext!.customValidatorConfig!.typedConfig!.value;
    const { trustDomains } = SPIFFECertValidatorConfig.decode(validator);
    assert.deepEqual(
      trustDomains.map(({ name }) => name),
      [TRUST_DOMAIN, 'other.example'],
    );
    all.ack(inAll);
    const added = await everything.next();
    assert.deepEqual(namesOf(added), [OTHER]);
    everything.ack(added);
    const state = await sotw.next();
    assert.deepEqual(namesOf(state), [OTHER]);
    sotw.ack(state);

    const next = await makeCertificate({ name: 'next' });
    await set(server, [root.key, next.key]);
    for (const stream of [byName, everything]) {
      const changed = await stream.next();
      assert.equal(rootsOf(secretOf(changed, OTHER)).length, 2);
      stream.ack(changed);
    }
    inAll = await all.next();
    assert.equal(rootsOf(secretOf(inAll, 'ALL')).length, 3);
    all.ack(inAll);
    const renewed = await sotw.next();
    assert.equal(rootsOf(secretOf(renewed, OTHER)).length, 2);
    sotw.ack(renewed);

    assert.equal((await server.request('DELETE', '/v1/bundles/other.example')).status, 204);
    assert.deepEqual((await everything.next()).removedResources, [OTHER]);
    // Envoy keeps a removed secret, and the state-of-the-world variant has no removals: both get one that trusts nobody.
    for (const stream of [byName, sotw]) {
      const taken = await stream.next();
      assert.deepEqual(namesOf(taken), [OTHER]);
      const { typedConfig } = secretOf(taken, OTHER).validationContext!.customValidatorConfig!;
      assert.deepEqual(
        SPIFFECertValidatorConfig.decode(typedConfig!.value).trustDomains.map(({ name }) => name),
        ['crl-epoch.invalid'],
      );
    }
    assert.equal(rootsOf(secretOf(await all.next(), 'ALL')).length, 1);
  });

  it('is not for callers whose entries do not federate with it', async (t) => {
    const server = await serve(t);
    await create(server, 'web', []);
    await set(server, [root.key]);
    const stream = delta(t, server, OTHER, 'ALL');
    assert.equal(rootsOf(secretOf(await stream.next(), 'ALL')).length, 1);
    const held = server.log.find(({ msg, name }) => msg === 'name held' && name === OTHER);
    assert.equal(held?.reason, 'not-federated');
  });
});
