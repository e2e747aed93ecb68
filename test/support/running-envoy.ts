/** A real Envoy that runs for a test, and what its admin interface tells. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';

/** A bootstrap without `admin`. */
export type Bootstrap = Readonly<Record<string, unknown>>;

export interface RunningEnvoy {
  readonly pid: number;
  /** Of its admin port. */
  readonly adminUrl: string;
  /** What it has written so far, warnings and worse. */
  readonly said: string;
  /** `LIVE` once its listeners are open, `INITIALIZING` or `PRE_INITIALIZING` before. */
  state(): Promise<string>;
  /** Waits for LIVE. @throws Error with what it said when it ends before */
  live(): Promise<void>;
  /** One counter or gauge by its name; 0 where there is none. */
  stat(name: string): Promise<number>;
  stop(): Promise<void>;
}

/**
 * Starts it with one worker, to be killed at the latest when the test ends.
 * @param launcher words of a command that executes it
 */
export async function startEnvoy(
  t: Pick<TestContext, 'after'>,
  binary: string,
  bootstrap: Bootstrap,
  launcher: readonly string[] = [],
): Promise<RunningEnvoy> {
  const [port] = await freePorts(1);
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: port } } };
  // JSON is YAML too.
  const args = ['--config-yaml', JSON.stringify({ ...bootstrap, admin })];
  args.push('--disable-hot-restart', '--concurrency', '1', '--log-level', 'warning');
  const [program, ...words] = [...launcher, binary, ...args];
  const child = spawn(program!, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(child, 'close');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.after(stop);
  const ask = async (place: string) => {
    if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}: ${said}`);
    return (await call(`http://127.0.0.1:${port}${place}`)).body;
  };
  const state = async () => (await ask('/ready')).trim();
  return {
    pid: child.pid!,
    adminUrl: `http://127.0.0.1:${port}`,
    get said() {
      return said;
    },
    state,
    async live() {
      const look = async () => (child.exitCode === null ? state() : 'ended');
      const seen = await wait('Envoy to be LIVE', { look, until: (now) => now === 'LIVE' || now === 'ended' });
      if (seen === 'ended') throw new Error(`Envoy ended with ${child.exitCode}: ${said}`);
    },
    async stat(name) {
      const lines = (await ask('/stats')).split('\n');
      return Number(lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? 0);
    },
    stop,
  };
}

/** How a listener's filter chain or a cluster names its secrets' source, and what the bootstrap must have for that. */
export interface SecretSource {
  /** The `sds_config`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Beside `node` and `static_resources`. */
  readonly bootstrap: Bootstrap;
}

/** SDS, state of the world, at a cluster of the bootstrap, which is tried again soon. */
export function sdsSource(cluster = 'sidekey', retryAfter = '0.1s'): Pick<SecretSource, 'config'> {
  const retry = { retry_back_off: { base_interval: retryAfter } };
  return {
    config: {
      resource_api_version: 'V3',
      api_config_source: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: { envoy_grpc: { cluster_name: cluster, retry_policy: retry } },
      },
    },
  };
}

/** A secret's reference. */
export function secretConfig(name: string, { config }: Pick<SecretSource, 'config'>, more: object = {}) {
  return { name, sds_config: { ...config, ...more } };
}

/** An HTTP connection manager whose one route is this; an answer of its own unless it says where to. */
export function httpFilter(route: object = { direct_response: { status: 200, body: { inline_string: 'ok' } } }) {
  const type = 'type.googleapis.com/envoy.extensions.filters';
  const router = { '@type': `${type}.http.router.v3.Router` };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': `${type}.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: 'http',
      route_config: {
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
      },
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: router }],
    },
  };
}

/** A listener on loopback that takes TLS off and answers every request with 200. */
export function tlsListener(port: number, downstreamTls: object, chain: object = {}) {
  const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
  const transport = { name: 'envoy.transport_sockets.tls', typed_config: { '@type': type, ...downstreamTls } };
  return {
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ ...chain, transport_socket: transport, filters: [httpFilter()] }],
  };
}

/** A static cluster of HTTP/2 at a Unix socket. */
export function pipeCluster(name: string, socket: string) {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    name,
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      [options]: { '@type': `type.googleapis.com/${options}`, explicit_http_config: { http2_protocol_options: {} } },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
    },
  };
}
