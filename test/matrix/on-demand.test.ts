/** Secrets that Envoy asks for when a TLS client names a host. */

import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { pinnedVersions } from '../../scripts/find-envoy.ts';
import { envoyForTests } from '../support/envoy.ts';
import { fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { VARIANTS, type Variant } from './variants.ts';

const CLIENT = `spiffe://${TRUST_DOMAIN}/client`;
const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const API = `spiffe://${TRUST_DOMAIN}/api`;
const TYPES = 'type.googleapis.com/envoy.extensions.transport_sockets.tls';

/** What the client hears: a removal is an answer to it, while by state of the world Envoy just hangs up after a while. */
const REFUSED = { sotw: { code: 'ECONNRESET' }, delta: /alert handshake failure/ };

/** The newest, and the oldest that has them. */
const versions = (await pinnedVersions()).filter((version) => !version.startsWith('1.36.'));
const [byState, byChange] = VARIANTS as readonly [Variant, Variant, ...Variant[]];

interface World {
  readonly sidekey: Served;
  /** The SPIFFE ID that a client sees who names this host; rejects when the handshake fails. */
  see(host: string): Promise<string>;
}

async function set(t: TestContext, binary: string, variant: Variant): Promise<World> {
  const sidekey = await serve(t);
  const mine = { type: 'unix', value: `uid:${process.getuid!()}` };
  const node = { type: 'unix', value: `path:${realpathSync(process.execPath)}` };
  const entries = [
    { spiffe_id: CLIENT, selectors: [mine, node] },
    { spiffe_id: WEB, selectors: [mine] },
    { spiffe_id: API, selectors: [mine] },
  ];
  assert.equal((await sidekey.request('POST', '/v1/entries', { entries })).status, 201);
  const credentials = await fetchCredentials(sidekey.socket, CLIENT);
  const [port] = await freePorts(1);
  const downstreamTls = {
    require_client_certificate: true,
    // Envoy does not start without both.
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
    common_tls_context: {
      custom_tls_certificate_selector: {
        name: 'envoy.tls.certificate_selectors.on_demand_secret',
        typed_config: {
          '@type': `${TYPES}.cert_selectors.on_demand_secret.v3.Config`,
          config_source: variant.config,
          certificate_mapper: {
            name: 'envoy.tls.certificate_mappers.sni',
            typed_config: { '@type': `${TYPES}.cert_mappers.sni.v3.SNI`, default_value: 'www.example.org' },
          },
        },
      },
      validation_context_sds_secret_config: secretConfig(`spiffe://${TRUST_DOMAIN}`, variant),
    },
  };
  const envoy = await startEnvoy(t, binary, {
    node: { id: 'on-demand', cluster: 'on-demand' },
    static_resources: {
      // By state of the world nothing else ends a handshake for a host that stands for nothing; by delta it needs no help.
      listeners: [
        tlsListener(port!, downstreamTls, variant === byState ? { transport_socket_connect_timeout: '0.5s' } : {}),
      ],
      clusters: [pipeCluster('sidekey', sidekey.socket)],
    },
  });
  await envoy.live();
  return { sidekey, see: async (host) => (await mtlsRequest(port!, credentials, host)).uri };
}

async function alias(sidekey: Served, host: string, spiffeId: string): Promise<void> {
  const { status, body } = await sidekey.request('PUT', `/v1/aliases/${host}`, { spiffe_id: spiffeId });
  assert.equal(status, 201, JSON.stringify(body));
}

/** Waits until Sidekey has said this of a name. */
async function heldFor(sidekey: Served, name: string): Promise<void> {
  const look = async () => sidekey.log.some((line) => line.msg === 'name held' && line.name === name);
  await wait(`${name} to be held`, { look, until: Boolean });
}

for (const version of new Set([versions[0]!, versions.at(-1)!])) {
  const found = await envoyForTests(version);
  const test = (name: string, run: (t: TestContext, binary: string) => Promise<void>) =>
    it(name, { skip: found.skip, timeout: 60_000 }, async (t) => {
      if (found.skip === false) await run(t, found.envoy.path);
    });

  describe(`a TLS client names a host to Envoy ${version}, which`, { concurrency: 2 }, () => {
    for (const variant of [byState, byChange]) {
      test(`shows each host its own certificate, by ${variant.name}`, async (t, binary) => {
        const { sidekey, see } = await set(t, binary, variant);
        await alias(sidekey, 'www.example.org', WEB);
        await alias(sidekey, 'api.example.org', API);
        assert.equal(await see('www.example.org'), WEB);
        assert.equal(await see('api.example.org'), API);
        assert.equal(await see('API.example.org'), API, 'in any case');
        assert.equal(await see(''), WEB, 'its default, for who names none');
      });

      test(`takes an alias that is set later, by ${variant.name}`, async (t, binary) => {
        const { sidekey, see } = await set(t, binary, variant);
        await assert.rejects(see('late.example.org'), REFUSED[variant.protocol]);
        await heldFor(sidekey, 'late.example.org');
        await alias(sidekey, 'late.example.org', WEB);
        await wait('the host to be served', { look: () => see('late.example.org'), until: (uri) => uri === WEB });
      });
    }

    test('refuses a host that stands for nothing, by delta', async (t, binary) => {
      const { sidekey, see } = await set(t, binary, byChange);
      await assert.rejects(see('nobody.example.org'), REFUSED.delta);
      const told = sidekey.log.filter(({ msg, removed }) => msg === 'sent' && String(removed) === 'nobody.example.org');
      assert.equal(told.length, 1);
    });

    test('refuses a host whose alias is gone, by delta', async (t, binary) => {
      const { sidekey, see } = await set(t, binary, byChange);
      await alias(sidekey, 'www.example.org', WEB);
      assert.equal(await see('www.example.org'), WEB);
      assert.equal((await sidekey.request('DELETE', '/v1/aliases/www.example.org')).status, 204);
      const look = () => see('www.example.org').catch(String);
      await wait('the host to be refused', { look, until: (seen) => REFUSED.delta.test(seen) });
    });
  });
}
