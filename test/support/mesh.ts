/** A server, and a real Envoy that uses mTLS with its SVIDs: as a server, and as a client of itself. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import {
  httpFilter,
  pipeCluster,
  type RunningEnvoy,
  sdsSource,
  secretConfig,
  startEnvoy,
  tlsListener,
} from './running-envoy.ts';
import { type Served, serve, TRUST_DOMAIN } from './serve.ts';

export const DOMAIN = `spiffe://${TRUST_DOMAIN}`;
/** The Envoy's SPIFFE IDs as a server and as a client, and one that is free for the test. */
export const [WEB, OTHER, CLIENT] = [`${DOMAIN}/web`, `${DOMAIN}/other`, `${DOMAIN}/client`];
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

const SOURCE = sdsSource();

const common = (name: string) => ({
  tls_certificate_sds_secret_configs: secretConfig(name, SOURCE),
  validation_context_sds_secret_config: secretConfig(DOMAIN, SOURCE),
});

/** The ID of the entry that gives this process, and every other one of its user, this SPIFFE ID. */
export async function createEntry(server: Served, spiffeId: string): Promise<string> {
  const selectors = [`unix:uid:${process.getuid!()}`];
  const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

export interface Mesh {
  readonly server: Served;
  readonly envoy: RunningEnvoy;
  /** Of a listener that requests a client certificate. */
  readonly port: number;
  /** Of a listener whose requests go to `upstream` over mTLS, as the client. */
  readonly local: number;
}

/** One Envoy that is the server WEB, and whose requests as the client OTHER go to itself. */
export async function startMesh(
  t: Pick<TestContext, 'after'>,
  binary: string,
  flags: readonly string[] = [],
): Promise<Mesh> {
  const server = await serve(t, { flags });
  for (const id of [WEB, CLIENT, OTHER]) await createEntry(server, id);
  return { server, ...(await startMeshEnvoy(t, binary, server.socket)) };
}

/** The Envoy of a mesh, which gets its SVIDs from this pipe. */
export async function startMeshEnvoy(
  t: Pick<TestContext, 'after'>,
  binary: string,
  pipe: string,
): Promise<Omit<Mesh, 'server'>> {
  const [port, local] = (await freePorts(2)) as [number, number];
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const bootstrap = {
    node: { id: 'web', cluster: 'test' },
    static_resources: {
      listeners: [
        tlsListener(port, { require_client_certificate: true, common_tls_context: common(WEB) }),
        {
          address: { socket_address: { address: '127.0.0.1', port_value: local } },
          filter_chains: { filters: httpFilter({ route: { cluster: 'web' } }) },
        },
      ],
      clusters: [
        pipeCluster('sidekey', pipe),
        {
          name: 'web',
          type: 'STATIC',
          load_assignment: { cluster_name: 'web', endpoints: { lb_endpoints: { endpoint: { address } } } },
          // A handshake for each request.
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              common_http_protocol_options: { max_requests_per_connection: 1 },
              explicit_http_config: { http_protocol_options: {} },
            },
          },
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': `${TLS}.UpstreamTlsContext`,
              max_session_keys: 0,
              common_tls_context: common(OTHER),
            },
          },
        },
      ],
    },
  };
  const running = await startEnvoy(t, binary, bootstrap);
  await running.live();
  return { envoy: running, port, local };
}
