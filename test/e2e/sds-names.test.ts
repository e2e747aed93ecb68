/** Reserved SDS names that are set: ROOTCA for own and federated bundles, which is all that Istio can ask for. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { envoyForTests } from '../support/envoy.ts';
import { fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { rootsOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const OTHER = 'other.example';
const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
const found = await envoyForTests();

async function create(server: Served, spiffe_id: string, federates_with: readonly string[] = []): Promise<void> {
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id, selectors, federates_with });
  assert.equal(status, 201);
}

/** Lets the first server's callers verify the second one's. */
async function federate(from: Served, to: Served): Promise<void> {
  const { body } = await to.request('GET', '/v1/bundle');
  assert.equal((await from.request('PUT', `/v1/bundles/${OTHER}`, body)).status, 201);
}

describe('SDS names that are set', { timeout: 120_000 }, () => {
  it('give the default identity and the bundles under these names, and nothing under the former ones', async (t) => {
    const flags = ['--sds-default-name', 'me', '--sds-bundle-name', 'roots', '--sds-all-bundles-name', 'every'];
    const server = await serve(t, { flags });
    await create(server, `spiffe://${TRUST_DOMAIN}/web`);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const response = await client.fetch({ resourceNames: ['me', 'roots', 'every', 'default', 'ROOTCA', 'ALL'] });
    assert.deepEqual(response.resources.length, 3);
    assert.ok(secretOf(response, 'me').tlsCertificate);
    for (const name of ['roots', 'every']) assert.equal(rootsOf(secretOf(response, name)).length, 1);
    const alias = { spiffe_id: `spiffe://${TRUST_DOMAIN}/web` };
    assert.equal((await server.request('PUT', '/v1/aliases/roots', alias)).status, 400);
    assert.equal((await server.request('PUT', '/v1/aliases/ROOTCA', alias)).status, 201);
  });

  it('let an Envoy that knows only ROOTCA accept a client of a federated trust domain', {
    skip: found.skip,
  }, async (t) => {
    assert.ok(found.skip === false);
    const servers = await Promise.all([
      serve(t, { flags: ['--sds-all-bundles-name', 'ROOTCA'] }),
      serve(t),
      serve(t, { flags: ['--trust-domain', OTHER] }),
    ]);
    const [istio, plain, other] = servers;
    await create(other, `spiffe://${OTHER}/client`);
    const client = await fetchCredentials(other.socket, `spiffe://${OTHER}/client`);
    const statusFrom = async (server: Served) => {
      await create(server, `spiffe://${TRUST_DOMAIN}/web`, [OTHER]);
      await federate(server, other);
      const [port] = await freePorts(1);
      const grpc = { envoy_grpc: { cluster_name: 'sidekey' } };
      const api = { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [grpc] };
      const config = { resource_api_version: 'V3', api_config_source: api };
      const tls = {
        require_client_certificate: true,
        common_tls_context: {
          tls_certificate_sds_secret_configs: [secretConfig('default', { config })],
          validation_context_sds_secret_config: secretConfig('ROOTCA', { config }),
        },
      };
      const envoy = await startEnvoy(t, found.envoy.path, {
        node: { id: 'web', cluster: 'web' },
        static_resources: {
          listeners: [tlsListener(port!, tls)],
          clusters: [pipeCluster('sidekey', server.socket)],
        },
      });
      await envoy.live();
      const own = await fetchCredentials(server.socket, `spiffe://${TRUST_DOMAIN}/web`);
      return mtlsRequest(port!, { ...client, ca: own.ca }).then(
        ({ status }) => status,
        () => 'refused',
      );
    };
    assert.equal(await statusFrom(istio), 200);
    assert.equal(await statusFrom(plain), 'refused');
  });
});
