/** Servers that fetch each other's bundles, and an Envoy of each. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { httpFilter, pipeCluster, sdsSource, secretConfig, startEnvoy, tlsListener } from './running-envoy.ts';
import { makePlace, type Served, serve } from './serve.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export interface Side {
  readonly server: Served;
  readonly domain: string;
  readonly endpointPort: number;
}

type Cleanup = Pick<TestContext, 'after'>;

/** A server with a bundle endpoint that polls each second. */
export async function startSide(t: Cleanup, domain: string, endpointPort: number): Promise<Side> {
  const flags = ['--federation-listen', `127.0.0.1:${endpointPort}`, '--federation-refresh-hint', '1s'];
  flags.push('--federation-min-refresh', '1s', '--federation-allow', '127.0.0.0/8', '--root-publish-time', '0s');
  const server = await serve(t, { place: { ...makePlace(t), trustDomain: domain }, flags });
  return { server, domain, endpointPort };
}

/** The two commands that docs/federation.md has for each side. */
export async function federate(side: Side, other: Side): Promise<void> {
  const { body } = await other.server.request('GET', '/v1/bundle');
  const given = {
    trust_domain: other.domain,
    bundle_endpoint_url: `https://127.0.0.1:${other.endpointPort}/`,
    bundle_endpoint_profile: 'https_spiffe',
    endpoint_spiffe_id: `spiffe://${other.domain}/sidekey/server`,
    trust_domain_bundle: body,
  };
  const made = await side.server.request('POST', '/v1/federation', given);
  assert.deepEqual([made.status, made.body.warnings, made.body.state], [201, [], 'fresh'], JSON.stringify(made.body));
}

/** An entry for whoever has the uid of this process. */
export async function makeEntry(side: Side, federatesWith: readonly string[]): Promise<void> {
  const entry = {
    spiffe_id: `spiffe://${side.domain}/web`,
    selectors: [`unix:uid:${process.getuid!()}`],
    federates_with: federatesWith,
  };
  const { status, body } = await side.server.request('POST', '/v1/entries', entry);
  assert.equal(status, 201, JSON.stringify(body));
}

const context = (side: Side, peer: string) => ({
  tls_certificate_sds_secret_configs: secretConfig(`spiffe://${side.domain}/web`, sdsSource()),
  validation_context_sds_secret_config: secretConfig(`spiffe://${peer}`, sdsSource()),
});

/** Accepts requests of workloads of the other domain only. */
export async function acceptingEnvoy(t: Cleanup, binary: string, side: Side, peer: string, port: number) {
  const listener = tlsListener(port, { require_client_certificate: true, common_tls_context: context(side, peer) });
  return startEnvoy(t, binary, {
    node: { id: 'server', cluster: 'test' },
    static_resources: { listeners: [listener], clusters: [pipeCluster('sidekey', side.server.socket)] },
  });
}

/** Sends what comes to `local` over mTLS to the other domain, with a handshake for each `perConnection` requests. */
export async function callingEnvoy(
  t: Cleanup,
  binary: string,
  side: Side,
  peer: string,
  { to, local, perConnection = 1 }: { to: number; local: number; perConnection?: number },
) {
  const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const upstream = {
    name: 'peer',
    type: 'STATIC',
    load_assignment: { cluster_name: 'peer', endpoints: { lb_endpoints: { endpoint: { address: at(to) } } } },
    typed_extension_protocol_options: {
      [HTTP]: {
        '@type': `type.googleapis.com/${HTTP}`,
        common_http_protocol_options: { max_requests_per_connection: perConnection },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${TLS}.UpstreamTlsContext`,
        max_session_keys: 0,
        common_tls_context: context(side, peer),
      },
    },
  };
  return startEnvoy(t, binary, {
    node: { id: 'client', cluster: 'test' },
    static_resources: {
      listeners: [{ address: at(local), filter_chains: { filters: httpFilter({ route: { cluster: 'peer' } }) } }],
      clusters: [pipeCluster('sidekey', side.server.socket), upstream],
    },
  });
}

/** The ID of the root that signs. */
export const activeRoot = async ({ server }: Side): Promise<string> => {
  const { body } = await server.request('GET', '/v1/ca');
  return body.authorities.find((one: { role: string; state: string }) => one.role === 'root' && one.state === 'active')
    .id;
};
