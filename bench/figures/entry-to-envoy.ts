/** From the REST call that makes an entry to a real Envoy, which waited for it, having applied the secret. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const TIMES = 100;
const nameOf = (i: number) => `spiffe://${TRUST_DOMAIN}/bench/${i}`;

export async function entryToEnvoy(cleanup: Cleanup): Promise<Figure[]> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  const server = await serve(cleanup, { logLevel: 'info' });
  const admin = await freePort();
  const config = path.join(server.directory, 'envoy.json');
  writeFileSync(config, JSON.stringify(bootstrap(server.socket, admin)));
  const child = spawn(envoy.path, ['-c', config, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'off'], {
    stdio: 'ignore',
  });
  cleanup.after(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  const stats = new EnvoyStats(admin);
  cleanup.after(() => stats.close());
  await stats.until(`sds.${nameOf(TIMES - 1).replace('://', '_')}.update_attempt`, 1);

  const sample: number[] = [];
  for (let i = 0; i < TIMES; i += 1) sample.push(await measure(server, stats, i));
  const compared = { reach: 8, 'SPIRE 1.16-dev p50': 17_800, 'bare push to ACK of an Envoy p50': 1.4 };
  const how = `${TIMES} entries made one after the other, a stream of one Envoy ${envoy.version} waiting for each; until Envoy's admin port shows sds.<name>.update_success, asked without pause`;
  return [
    { name: 'entry-to-envoy-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: compared, how },
    {
      name: 'entry-to-envoy-p99',
      value: percentile(sample, 0.99),
      unit: 'ms',
      compared_with: { reach: 40, 'SPIRE 1.16-dev p99': 27_500 },
      how,
    },
  ];
}

async function measure(server: Served, stats: EnvoyStats, i: number): Promise<number> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const begun = performance.now();
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id: nameOf(i), selectors });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  await stats.until(`sds.${nameOf(i).replace('://', '_')}.update_success`, 1);
  return performance.now() - begun;
}

/** Asks an Envoy's admin port for counters, over one connection. */
class EnvoyStats {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  async until(counter: string, least: number): Promise<void> {
    const filter = encodeURIComponent(`^${counter.replaceAll('.', '\\.')}$`);
    for (;;) {
      const text = await this.#get(`/stats?filter=${filter}`).catch(() => '');
      if (Number(text.slice(text.lastIndexOf(':') + 1)) >= least && text !== '') return;
      await nextTurn();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #get(url: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: this.#port, path: url, agent: this.#agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
    });
  }
}

/** An Envoy with a cluster for each name, whose client certificate the name is. */
function bootstrap(socket: string, adminPort: number) {
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  const sidekey = {
    name: 'sidekey',
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: http2,
    load_assignment: {
      cluster_name: 'sidekey',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
    },
  };
  return {
    node: { id: 'bench', cluster: 'bench' },
    // Looking through all counters of a hundred clusters would take longer than what is measured.
    stats_config: {
      stats_matcher: { inclusion_list: { patterns: [{ suffix: '.update_success' }, { suffix: '.update_attempt' }] } },
    },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    static_resources: { clusters: [sidekey, ...Array.from({ length: TIMES }, (_, i) => clusterOf(i))] },
  };
}

function clusterOf(i: number) {
  const grpc = {
    envoy_grpc: {
      cluster_name: 'sidekey',
      retry_policy: { retry_back_off: { base_interval: '0.1s', max_interval: '1s' } },
    },
  };
  const sds = {
    resource_api_version: 'V3',
    initial_fetch_timeout: '0s',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      set_node_on_first_message_only: true,
      grpc_services: [grpc],
    },
  };
  return {
    name: `bench-${i}`,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: `bench-${i}`, endpoints: [] },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: { tls_certificate_sds_secret_configs: [{ name: nameOf(i), sds_config: sds }] },
      },
    },
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
