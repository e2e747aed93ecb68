/** A real Envoy that waits for secrets: a cluster for each name, whose client certificate the name is. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import type { Served } from '../../test/support/serve.ts';
import type { Cleanup } from '../figure.ts';

export interface BenchEnvoy {
  readonly version: string;
  readonly stats: EnvoyStats;
}

/** Starts it, and waits until it has asked for the last of the names. */
export async function startEnvoy(cleanup: Cleanup, server: Served, names: readonly string[]): Promise<BenchEnvoy> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  const admin = await freePort();
  const config = path.join(server.directory, 'envoy.json');
  writeFileSync(config, JSON.stringify(bootstrap(server.socket, admin, names)));
  const child = spawn(envoy.path, ['-c', config, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'off'], {
    stdio: 'ignore',
  });
  cleanup.after(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  const stats = new EnvoyStats(admin);
  cleanup.after(() => stats.close());
  await stats.until(names.at(-1)!, 'update_attempt', 1);
  return { version: envoy.version, stats };
}

/** Asks an Envoy's admin port for counters, over one connection. */
export class EnvoyStats {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  /** Waits until a counter of this secret has come so far. */
  async until(name: string, what: 'update_attempt' | 'update_success', least: number): Promise<void> {
    const counter = `sds.${name.replace('://', '_')}.${what}`;
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

function bootstrap(socket: string, adminPort: number, names: readonly string[]) {
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
    static_resources: { clusters: [sidekey, ...names.map(clusterOf)] },
  };
}

function clusterOf(name: string, i: number) {
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
        common_tls_context: { tls_certificate_sds_secret_configs: [{ name, sds_config: sds }] },
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
