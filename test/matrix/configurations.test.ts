/**
 * Configurations as people have them for a SPIRE agent's socket: SPIRE's own examples, Istio's, Kuma's. With Sidekey's
 * socket in its place, and nothing else changed, they work. Each is cut down to what it says of secrets.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { ENVOYS } from '../envoy/support.ts';
import { type Credentials, fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { type Bootstrap, httpFilter, pipeCluster, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { type Served, serve } from '../support/serve.ts';

const DOMAIN = 'spiffe://domain.test';
const ECHO = `${DOMAIN}/echo-server`;
const WEB = `${DOMAIN}/web-server`;
const FOREIGN = 'spiffe://federated-domain.test';

interface Place {
  readonly socket: string;
  readonly port: number;
  /** For those that have a listener in clear too. */
  readonly clear: number;
}

interface Configuration {
  readonly of: string;
  readonly bootstrap: (place: Place) => Bootstrap;
  /** A client without a certificate is let in, as Envoy's SPIFFE validator never does. */
  readonly anonymous?: boolean;
  /** A client of another trust domain is let in as well. */
  readonly federated?: boolean;
  /** It has a listener in clear, which goes by mTLS to the other one. */
  readonly both?: boolean;
}

/** A cluster as configurations of before Envoy 1.16 have it. */
function agent(name: string, socket: string, connectTimeout: string) {
  const address = { pipe: { path: socket } };
  const endpoints = [{ lb_endpoints: [{ endpoint: { address } }] }];
  return {
    name,
    connect_timeout: connectTimeout,
    http2_protocol_options: {},
    load_assignment: { cluster_name: name, endpoints },
  };
}

/** `grpc_services` is no list in SPIRE's examples; Envoy takes it. */
const spire = {
  resource_api_version: 'V3',
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: { envoy_grpc: { cluster_name: 'spire_agent' } },
  },
};
const spireDelta = { ...spire, api_config_source: { ...spire.api_config_source, api_type: 'DELTA_GRPC' } };
const curves = { ecdh_curves: ['X25519:P-256:P-521:P-384'] };

function common(certificate: string, bundle: string, config: object, peers: object) {
  return {
    tls_certificate_sds_secret_configs: [{ name: certificate, sds_config: config }],
    combined_validation_context: {
      default_validation_context: peers,
      validation_context_sds_secret_config: { name: bundle, sds_config: config },
    },
  };
}

const exactly = (id: string) => ({ match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: id } }] });

/** A server alone. */
function server(tls: object, node: object = {}): (place: Place) => Bootstrap {
  return ({ socket, port }) => ({
    node: { id: 'id_01', cluster: 'cluster_01', ...node },
    static_resources: { listeners: [tlsListener(port, tls)], clusters: [agent('spire_agent', socket, '0.25s')] },
  });
}

const CONFIGURATIONS: readonly Configuration[] = [
  {
    of: "SPIRE's example: mTLS by SPIFFE ID and trust domain, its names in a field of old",
    both: true,
    bootstrap: ({ socket, port, clear }) => ({
      node: { id: 'id_01', cluster: 'cluster_01' },
      static_resources: {
        listeners: [
          tlsListener(port, {
            common_tls_context: {
              ...common(ECHO, DOMAIN, spire, { match_subject_alt_names: { exact: WEB } }),
              tls_params: curves,
            },
          }),
          {
            address: { socket_address: { address: '127.0.0.1', port_value: clear } },
            filter_chains: [{ filters: [httpFilter({ route: { cluster: 'web_to_echo_mtls' } })] }],
          },
        ],
        clusters: [
          agent('spire_agent', socket, '0.25s'),
          {
            name: 'web_to_echo_mtls',
            connect_timeout: '0.25s',
            type: 'strict_dns',
            load_assignment: {
              cluster_name: 'web_to_echo_mtls',
              endpoints: [
                {
                  lb_endpoints: [
                    { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                  ],
                },
              ],
            },
            transport_socket: {
              name: 'envoy.transport_sockets.tls',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
                common_tls_context: {
                  ...common(WEB, DOMAIN, spire, { match_subject_alt_names: { exact: ECHO } }),
                  tls_params: curves,
                },
              },
            },
          },
        ],
      },
    }),
  },
  {
    of: "SPIRE's example: TLS with nobody's certificate asked for",
    anonymous: true,
    bootstrap: server({
      common_tls_context: {
        tls_certificate_sds_secret_configs: [{ name: ECHO, sds_config: spire }],
        tls_params: curves,
      },
    }),
  },
  {
    of: "SPIRE's test of federation: every bundle as ALL",
    federated: true,
    bootstrap: server({
      common_tls_context: common(ECHO, 'ALL', spire, {
        match_typed_subject_alt_names: [
          { san_type: 'URI', matcher: { safe_regex: { regex: 'spiffe://(federated-domain|domain)\\.test/.+' } } },
        ],
      }),
    }),
  },
  {
    of: 'every bundle as ALL, incremental',
    bootstrap: server({
      common_tls_context: common(ECHO, 'ALL', spireDelta, {
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }],
      }),
    }),
  },
  {
    of: 'a node that wants no SPIFFE validator',
    anonymous: true,
    bootstrap: server(
      { common_tls_context: common(ECHO, DOMAIN, spire, {}) },
      { metadata: { disable_spiffe_cert_validation: true } },
    ),
  },
  {
    of: 'Istio: default and ROOTCA',
    bootstrap: ({ socket, port }) => {
      const config = {
        api_config_source: {
          api_type: 'GRPC',
          grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
          set_node_on_first_message_only: true,
          transport_api_version: 'V3',
        },
        initial_fetch_timeout: '0s',
        resource_api_version: 'V3',
      };
      const metadata = { NAMESPACE: 'default', SERVICE_ACCOUNT: 'echo', INTERCEPTION_MODE: 'REDIRECT' };
      return {
        node: { id: 'sidecar~10.0.0.1~echo-0.default~default.svc.cluster.local', cluster: 'echo.default', metadata },
        static_resources: {
          listeners: [
            tlsListener(port, {
              require_client_certificate: true,
              common_tls_context: {
                ...common('default', 'ROOTCA', config, {
                  match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: `${DOMAIN}/` } }],
                }),
                alpn_protocols: ['istio-peer-exchange', 'h2', 'http/1.1'],
              },
            }),
          ],
          clusters: [{ ...agent('sds-grpc', socket, '1s'), type: 'STATIC', lb_policy: 'ROUND_ROBIN' }],
        },
      };
    },
  },
  {
    of: 'Kuma: the SPIFFE ID and ALL',
    bootstrap: ({ socket, port }) => {
      const name = 'system_identity_sds-spire-agent';
      const config = {
        api_config_source: {
          api_type: 'GRPC',
          grpc_services: [{ envoy_grpc: { cluster_name: name } }],
          transport_api_version: 'V3',
        },
        resource_api_version: 'V3',
      };
      return {
        node: { id: 'default.echo', cluster: 'default' },
        static_resources: {
          listeners: [
            tlsListener(port, {
              require_client_certificate: true,
              common_tls_context: common(ECHO, 'ALL', config, {
                match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: `${DOMAIN}/` } }],
              }),
            }),
          ],
          clusters: [pipeCluster(name, socket)],
        },
      };
    },
  },
  {
    of: "Google's gRPC in Envoy, which names the socket itself",
    bootstrap: ({ socket, port }) => {
      const config = {
        resource_api_version: 'V3',
        api_config_source: {
          api_type: 'GRPC',
          transport_api_version: 'V3',
          grpc_services: [{ google_grpc: { target_uri: `unix:${socket}`, stat_prefix: 'sds' } }],
        },
      };
      return {
        node: { id: 'id_01', cluster: 'cluster_01' },
        static_resources: {
          listeners: [tlsListener(port, { common_tls_context: common(ECHO, DOMAIN, config, exactly(WEB)) })],
        },
      };
    },
  },
];

const flags = (id: string) => ['--trust-domain', id.slice('spiffe://'.length)];
const selectors = [`unix:uid:${process.getuid!()}`];

/** A Sidekey for the configurations, with an entry for each side. */
async function serveBoth(t: Pick<TestContext, 'after'>): Promise<Served> {
  const sidekey = await serve(t, { flags: flags(DOMAIN) });
  // The first is `default`: none is said to be it, and it is the oldest.
  for (const spiffe_id of [ECHO, WEB]) {
    const entry = { spiffe_id, selectors, federates_with: [FOREIGN] };
    const { status, body } = await sidekey.request('POST', '/v1/entries', entry);
    assert.equal(status, 201, JSON.stringify(body));
  }
  return sidekey;
}

/** A client of another trust domain is let in once that one's bundle is set. */
async function federate(t: TestContext, sidekey: Served, port: number, { ca }: Credentials): Promise<void> {
  const other = await serve(t, { flags: flags(FOREIGN) });
  const spiffe_id = `${FOREIGN}/downstream-proxy`;
  assert.equal((await other.request('POST', '/v1/entries', { spiffe_id, selectors })).status, 201);
  const foreign = { ...(await fetchCredentials(other.socket, spiffe_id)), ca };
  await assert.rejects(mtlsRequest(port, foreign), 'its trust domain is not known yet');
  const { body } = await other.request('GET', '/v1/bundle');
  assert.equal((await sidekey.request('PUT', '/v1/bundles/federated-domain.test', body)).status, 201);
  const look = async () => (await mtlsRequest(port, foreign)).status;
  await wait('the other trust domain to be let in', { look, until: (status) => status === 200 });
}

for (const [what, found] of ENVOYS) {
  describe(`a configuration for a SPIRE agent, with ${what}:`, { skip: found.skip, concurrency: 2 }, () => {
    const endings: (() => unknown)[] = [];
    let sidekey: Served;
    before(async () => {
      sidekey = await serveBoth({ after: (ending: () => unknown) => void endings.push(ending) } as TestContext);
    });
    after(async () => {
      for (const ending of endings.reverse()) await ending();
    });

    for (const { of, bootstrap, anonymous = false, federated = false, both = false } of CONFIGURATIONS) {
      it(of, { timeout: 60_000 }, async (t) => {
        assert.ok(found.skip === false);
        const [port, clear] = (await freePorts(2)) as [number, number];
        const envoy = await startEnvoy(t, found.envoy.path, bootstrap({ socket: sidekey.socket, port, clear }));
        await envoy.live();
        const web = await fetchCredentials(sidekey.socket, WEB);
        const { status, uri } = await mtlsRequest(port, web);
        assert.deepEqual({ status, uri }, { status: 200, uri: ECHO });
        const nobody = mtlsRequest(port, { ca: web.ca });
        if (anonymous) assert.equal((await nobody).status, 200);
        else await assert.rejects(nobody);
        if (both) assert.equal((await call(`http://127.0.0.1:${clear}/`)).status, 200);
        if (federated) await federate(t, sidekey, port, web);
      });
    }
  });
}
