/** Which host names real Envoys check in a certificate, besides its SPIFFE ID; docs/envoy.md and two rules of the lint say so. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { lintBootstrap } from '../../src/envoy/lint/lint.ts';
import { TestClock } from '../support/clock.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { httpFilter, pipeCluster, sdsSource, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { ENVOYS } from './support.ts';

const HOST = 'db.example';
const TYPE = 'type.googleapis.com/envoy.extensions';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const SOURCE = sdsSource();
const id = (name: string) => `spiffe://ilinux.io/${name}`;

const certificate = (name: string) => ({ tls_certificate_sds_secret_configs: [secretConfig(id(name), SOURCE)] });

function common(me: string, peer: string) {
  return {
    ...certificate(me),
    combined_validation_context: {
      default_validation_context: { match_typed_subject_alt_names: { san_type: 'URI', matcher: { exact: id(peer) } } },
      validation_context_sds_secret_config: secretConfig('spiffe://ilinux.io', SOURCE),
    },
  };
}

function quicListener(port: number, name: string) {
  const tls = { common_tls_context: certificate(name) };
  const type = `${TYPE}.transport_sockets.quic.v3.QuicDownstreamTransport`;
  const filter = httpFilter();
  const config = { ...filter.typed_config, codec_type: 'HTTP3' };
  return {
    address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: port } },
    udp_listener_config: { quic_options: {} },
    filter_chains: [
      {
        transport_socket: {
          name: 'envoy.transport_sockets.quic',
          typed_config: { '@type': type, downstream_tls_context: tls },
        },
        filters: [{ ...filter, typed_config: config }],
      },
    ],
  };
}

interface Upstream {
  readonly peer: string;
  /** Of the TLS context. */
  readonly tls?: object;
  readonly autoSan?: boolean;
  readonly quic?: boolean;
}

/** From what a client's Envoy has to the peer's answer: before Envoy 1.40, and from then on; and what the lint says. */
const UPSTREAMS: readonly (readonly [Upstream, before: 200 | 503, since: 200 | 503, rule: string | undefined])[] = [
  [{ peer: 'bare' }, 200, 200, undefined],
  [{ peer: 'bare', autoSan: true }, 200, 503, 'auto-san'],
  [{ peer: 'named', autoSan: true }, 200, 200, undefined],
  [{ peer: 'bare', tls: { sni: HOST, auto_sni_san_validation: true } }, 200, 200, 'auto-san'],
  [{ peer: 'bare', quic: true, tls: { sni: HOST } }, 503, 503, 'quic-host-name'],
  [{ peer: 'named', quic: true, tls: { sni: HOST } }, 200, 200, undefined],
  [{ peer: 'named', quic: true, tls: { sni: 'other.example' } }, 503, 503, 'quic-host-name'],
  [{ peer: 'named', quic: true }, 503, 503, 'quic-host-name'],
];

function cluster({ peer, tls = {}, autoSan = false, quic = false }: Upstream, name: string, port: number) {
  const context = { ...tls, common_tls_context: common('client', peer) };
  const transport = quic
    ? { '@type': `${TYPE}.transport_sockets.quic.v3.QuicUpstreamTransport`, upstream_tls_context: context }
    : { '@type': `${TYPE}.transport_sockets.tls.v3.UpstreamTlsContext`, ...context };
  const protocol = quic ? { http3_protocol_options: {} } : { http_protocol_options: {} };
  const auto = autoSan ? { upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true } } : {};
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    type: 'STATIC',
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: { '@type': `type.googleapis.com/${HTTP_OPTIONS}`, explicit_http_config: protocol, ...auto },
    },
    load_assignment: { cluster_name: name, endpoints: { lb_endpoints: { endpoint: { address } } } },
    transport_socket: { name: `envoy.transport_sockets.${quic ? 'quic' : 'tls'}`, typed_config: transport },
  };
}

for (const [what, found] of ENVOYS) {
  describe(`host names in certificates, with ${what}`, { skip: found.skip, timeout: 120_000 }, () => {
    test('are checked as docs/envoy.md says, and the lint tells it before', async (t) => {
      assert.ok(found.skip === false);
      const { path: binary, version } = found.envoy;
      const [major, minor] = version.split('.').map(Number) as [number, number];
      const isSince = major > 1 || minor >= 40;
      const sidekey = await startInnerServer(t, {}, new TestClock(Date.now()));
      const entries = [];
      for (const [name, names] of [
        ['client', []],
        ['bare', []],
        ['named', [HOST]],
      ] as const) {
        const entry = await sidekey.create(id(name), { dns_names: names });
        entries.push({ id: entry, spiffe_id: id(name), federates_with: [], dns_names: names });
      }
      const ports = await freePorts(4 + UPSTREAMS.length);
      const [bare, bareQuic, named, namedQuic, ...locals] = ports as [number, number, number, number, ...number[]];
      const pipe = pipeCluster('sidekey', sidekey.socket);
      const server = await startEnvoy(t, binary, {
        node: { id: 'server', cluster: 'test' },
        static_resources: {
          clusters: [pipe],
          listeners: [
            tlsListener(bare, { require_client_certificate: true, common_tls_context: common('bare', 'client') }),
            tlsListener(named, { require_client_certificate: true, common_tls_context: common('named', 'client') }),
            quicListener(bareQuic, 'bare'),
            quicListener(namedQuic, 'named'),
          ],
        },
      });
      const portOf = ({ peer, quic = false }: Upstream) => {
        if (peer === 'bare') return quic ? bareQuic : bare;
        return quic ? namedQuic : named;
      };
      const clusters = UPSTREAMS.map(([upstream], at) => cluster(upstream, `to-${at}`, portOf(upstream)));
      const listeners = UPSTREAMS.map((_, at) => ({
        address: { socket_address: { address: '127.0.0.1', port_value: locals[at] } },
        filter_chains: { filters: httpFilter({ route: { cluster: `to-${at}`, host_rewrite_literal: HOST } }) },
      }));
      const client = await startEnvoy(t, binary, {
        node: { id: 'client', cluster: 'test' },
        static_resources: { clusters: [pipe, ...clusters], listeners },
      });
      await server.live();
      await client.live();
      for (const [at, [upstream, before, since, rule]] of UPSTREAMS.entries()) {
        const expected = isSince ? since : before;
        const look = async () => (await call(`http://127.0.0.1:${locals[at]}/`)).status;
        const status = await wait(`${expected} for ${JSON.stringify(upstream)}`, {
          look,
          until: (one) => one === expected,
        });
        assert.equal(status, expected);
        const text = JSON.stringify({
          node: { id: 'client', cluster: 'test' },
          static_resources: { clusters: [pipe, clusters[at]] },
        });
        const told = lintBootstrap(text, 'f', { entries, aliases: [] });
        assert.deepEqual(
          told.map((one) => one.rule),
          rule === undefined ? [] : [rule],
          JSON.stringify(upstream),
        );
      }
    });
  });
}
