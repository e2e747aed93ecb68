/**
 * Reads the state of a running Envoy from its admin port.
 * @see https://www.envoyproxy.io/docs/envoy/latest/operations/admin
 */

import http from 'node:http';
import { matchersIn, type NameMatcher } from './envoy-names.ts';
import { secretsIn, type TrustedRoots } from './envoy-secrets.ts';
import { hasTicketKeys } from './envoy-tickets.ts';

export interface EnvoyState {
  readonly nodeId: string;
  readonly version: string;
  /** `LIVE`, `INITIALIZING`, `PRE_INITIALIZING`, … */
  readonly state: string;
  readonly secrets: readonly EnvoySecret[];
  /** Certificates that the Envoy presents, by serial (lower-case hex without leading zeros); `ends` is the expiry time. */
  readonly certificates: ReadonlyMap<string, { readonly spiffeId: string; readonly ends: string }>;
  /** The roots in its validation contexts, by trust domain. */
  readonly roots: TrustedRoots;
  /** Clusters whose servers the Envoy refused. */
  readonly refusedServers: readonly RefusedServers[];
  /** Listeners that refused clients, with the numbers since Envoy's start. */
  readonly refusedClients: readonly RefusedClients[];
  /** Clusters with TLS handshakes that failed for another reason, which are mostly ended by the server. */
  readonly endedByServer: readonly {
    readonly cluster: string;
    readonly count: number;
    readonly endpoints: readonly Endpoint[];
  }[];
  /** The names of listeners with session ticket keys. */
  readonly withTicketKeys: readonly string[];
  /** Clusters whose endpoint is a Unix socket. */
  readonly pipes: readonly PipeCluster[];
}

export interface EnvoySecret {
  readonly name: string;
  /** Empty while the Envoy waits for the secret. */
  readonly version: string;
  /** Whether the Envoy waits for the secret. */
  readonly warming: boolean;
  /** How often it has asked for the secret; undefined if it does not say. */
  readonly attempts: number | undefined;
  /** Whether the secret's stream is open; undefined if Envoy does not report it, as for secrets by ADS or from files. */
  readonly connected: boolean | undefined;
  readonly isFromFile: boolean;
}

/** How often certificates were refused. */
export interface Refusals {
  /** Because no trusted root issued them. */
  readonly count: number;
  /** Because their names are not accepted. */
  readonly byName: number;
}

export interface RefusedClients extends Refusals {
  /** Its address in the names of statistics: `0.0.0.0_8443`. */
  readonly listener: string;
  /** What it accepts; of all listeners, since the statistics have only addresses. */
  readonly accepts: readonly NameMatcher[];
}

export interface RefusedServers extends Refusals {
  readonly cluster: string;
  readonly accepts: readonly NameMatcher[];
  readonly endpoints: readonly Endpoint[];
  /** The server name (SNI) that the Envoy sends. */
  readonly sni: string | undefined;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface PipeCluster {
  readonly cluster: string;
  readonly path: string;
  readonly open: number;
  readonly failed: number;
}

const TIMEOUT_MS = 5_000;
/** Maximum size of an answer, in bytes: an Envoy with ten thousand clusters answers with tens of megabytes. */
const MAX_ANSWER = 256 * 1024 * 1024;

interface ServerInfo {
  readonly version: string;
  readonly state: string;
  readonly node?: { readonly id?: string };
}
interface Dump {
  readonly configs?: readonly { readonly name?: string; readonly version_info?: string; readonly secret?: unknown }[];
}
interface ClusterDump {
  readonly configs?: readonly {
    readonly cluster?: {
      readonly name?: string;
      readonly transport_socket?: { readonly typed_config?: { readonly sni?: unknown } };
    };
  }[];
}
interface ListenerDump {
  readonly configs?: readonly {
    readonly listener?: unknown;
    readonly active_state?: { readonly listener?: unknown };
  }[];
}
interface Certificates {
  readonly certificates?: readonly {
    readonly cert_chain?: readonly {
      readonly serial_number: string;
      readonly expiration_time: string;
      readonly subject_alt_names?: readonly { readonly uri?: string }[];
    }[];
  }[];
}
interface Clusters {
  readonly cluster_statuses?: readonly {
    readonly name?: string;
    readonly host_statuses?: readonly {
      readonly address?: {
        readonly pipe?: { readonly path?: string };
        readonly socket_address?: { readonly address?: string; readonly port_value?: number };
      };
      readonly stats?: readonly { readonly name?: string; readonly value?: string }[];
    }[];
  }[];
}
interface Stats {
  readonly stats?: readonly { readonly name?: string; readonly value?: unknown }[];
}

/** @throws Error if no server answers, or the server is not Envoy */
export async function readEnvoyState(url: string): Promise<EnvoyState> {
  const { node, version, state } = await get<ServerInfo>(url, '/server_info');
  const active = await get<Dump>(url, '/config_dump?resource=dynamic_active_secrets');
  const warming = await get<Dump>(url, '/config_dump?resource=dynamic_warming_secrets');
  const { certificates = [] } = await get<Certificates>(url, '/certs');
  const leaves = certificates.flatMap(({ cert_chain: chain = [] }) => chain.slice(0, 1));
  const stats = await statsOf(url);
  const clusters = await get<Clusters>(url, '/clusters?format=json');
  const listeners = await listenersOf(url);
  return {
    nodeId: node?.id ?? '',
    version,
    state,
    secrets: [...secretsOf(active, false, stats), ...secretsOf(warming, true, stats)],
    certificates: new Map(
      leaves.map((leaf) => [
        plainSerial(leaf.serial_number),
        { spiffeId: leaf.subject_alt_names?.find(({ uri }) => uri)?.uri ?? '', ends: leaf.expiration_time },
      ]),
    ),
    roots: secretsIn((active.configs ?? []).map(({ secret }) => secret)),
    refusedServers: await refusedServers(url, clusters, stats),
    refusedClients: refusedClients(listeners, stats),
    endedByServer: endedByServer(clusters, stats),
    withTicketKeys: listeners.filter((one) => hasTicketKeys(one)).map(nameOf),
    pipes: pipesOf(clusters),
  };
}

/** The counters and gauges that are used here. */
async function statsOf(url: string): Promise<ReadonlyMap<string, number>> {
  const filter = encodeURIComponent('^sds\\.|^control_plane\\.|\\.ssl\\.(fail_verify_(error|san)|connection_error)$');
  const { stats = [] } = await get<Stats>(url, `/stats?format=json&filter=${filter}`);
  return new Map(
    stats.flatMap(({ name, value }): [string, number][] =>
      typeof name === 'string' && typeof value === 'number' ? [[name, value]] : [],
    ),
  );
}

function secretsOf({ configs = [] }: Dump, warming: boolean, stats: ReadonlyMap<string, number>): EnvoySecret[] {
  return configs.map(({ name = '', version_info: version = '' }) => {
    const head = `sds.${asStat(name)}`;
    const connected = stats.get(`${head}.control_plane.connected_state`);
    const attempts = stats.get(`${head}.update_attempt`);
    // Only subscriptions by gRPC have this gauge: each one its own, or all of ADS a common one.
    const isFromFile = attempts !== undefined && connected === undefined && !stats.has('control_plane.connected_state');
    const isConnected = connected === undefined ? undefined : connected > 0;
    return { name, version, warming, attempts, connected: isConnected, isFromFile };
  });
}

/** A name as it stands in Envoy's statistics. */
function asStat(name: string): string {
  return name.replaceAll(/:\/{0,2}/g, '_');
}

async function refusedServers(
  url: string,
  { cluster_statuses: clusters = [] }: Clusters,
  stats: ReadonlyMap<string, number>,
): Promise<RefusedServers[]> {
  const refusing = clusters.flatMap(({ name = '', host_statuses: hosts }) => {
    const refusals = refusalsOf(`cluster.${asStat(name)}`, stats);
    const endpoints = endpointsOf(hosts);
    return refusals === undefined ? [] : [{ cluster: name, ...refusals, endpoints }];
  });
  if (refusing.length === 0) return [];
  const names = new Map<string, string>();
  const accepted = new Map<string, readonly NameMatcher[]>();
  for (const kind of ['static_clusters', 'dynamic_active_clusters']) {
    const { configs = [] } = await get<ClusterDump>(url, `/config_dump?resource=${kind}`);
    for (const { cluster } of configs) {
      if (cluster?.name === undefined) continue;
      const sni = cluster.transport_socket?.typed_config?.sni;
      if (typeof sni === 'string') names.set(cluster.name, sni);
      accepted.set(cluster.name, matchersIn(cluster));
    }
  }
  return refusing.map((one) => ({
    ...one,
    sni: names.get(one.cluster),
    accepts: accepted.get(one.cluster) ?? [],
  }));
}

type Hosts = NonNullable<Clusters['cluster_statuses']>[number]['host_statuses'];

function endpointsOf(hosts: Hosts = []): Endpoint[] {
  return hosts.flatMap(({ address }): Endpoint[] => {
    const { address: host, port_value: port } = address?.socket_address ?? {};
    return typeof host === 'string' && typeof port === 'number' ? [{ host, port }] : [];
  });
}

function endedByServer(
  { cluster_statuses: clusters = [] }: Clusters,
  stats: ReadonlyMap<string, number>,
): EnvoyState['endedByServer'] {
  return clusters.flatMap(({ name = '', host_statuses: hosts }) => {
    const count = stats.get(`cluster.${asStat(name)}.ssl.connection_error`) ?? 0;
    return count === 0 ? [] : [{ cluster: name, count, endpoints: endpointsOf(hosts) }];
  });
}

/** The configurations of all listeners. */
async function listenersOf(url: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const kind of ['static_listeners', 'dynamic_listeners']) {
    const { configs = [] } = await get<ListenerDump>(url, `/config_dump?resource=${kind}`);
    for (const one of configs) found.push(one.listener ?? one.active_state?.listener);
  }
  return found;
}

/** Its name, else its address. */
function nameOf(listener: unknown): string {
  const { name, address } = (listener ?? {}) as { readonly name?: unknown; readonly address?: unknown };
  if (typeof name === 'string' && name !== '') return name;
  const { address: host, port_value: port } =
    (address as { readonly socket_address?: { readonly address?: unknown; readonly port_value?: unknown } } | undefined)
      ?.socket_address ?? {};
  return `${String(host)}:${String(port)}`;
}

function refusedClients(listeners: readonly unknown[], stats: ReadonlyMap<string, number>): RefusedClients[] {
  const names = new Set(
    [...stats.keys()].flatMap((name) => /^listener\.(.+)\.ssl\.fail_verify_(?:error|san)$/.exec(name)?.[1] ?? []),
  );
  const refusing = [...names].flatMap((listener) => {
    const refusals = refusalsOf(`listener.${listener}`, stats);
    return refusals === undefined ? [] : [{ listener, ...refusals }];
  });
  if (refusing.every(({ byName }) => byName === 0)) return refusing.map((one) => ({ ...one, accepts: [] }));
  const accepts = listeners.flatMap(matchersIn);
  return refusing.map((one) => ({ ...one, accepts }));
}

/** Undefined if none was refused. @param head `cluster.NAME` or `listener.ADDRESS` */
function refusalsOf(head: string, stats: ReadonlyMap<string, number>): Refusals | undefined {
  const count = stats.get(`${head}.ssl.fail_verify_error`) ?? 0;
  const byName = stats.get(`${head}.ssl.fail_verify_san`) ?? 0;
  return count + byName === 0 ? undefined : { count, byName };
}

function pipesOf({ cluster_statuses: clusters = [] }: Clusters): PipeCluster[] {
  return clusters.flatMap(({ name = '', host_statuses: hosts = [] }) =>
    hosts.flatMap(({ address, stats = [] }): PipeCluster[] => {
      const path = address?.pipe?.path;
      const count = (what: string) => Number(stats.find((one) => one.name === what)?.value ?? 0);
      if (typeof path !== 'string') return [];
      return [{ cluster: name, path, open: count('cx_active'), failed: count('cx_connect_fail') }];
    }),
  );
}

/** The serial without leading zeros, which only some programs write. */
export function plainSerial(serial: string): string {
  return serial.toLowerCase().replace(/^0+(?=.)/, '');
}

/** The parsed JSON; undefined if the text is invalid. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The URL of a path of the admin interface; `base` may have a path of its own, as behind a proxy.
 * @param path begins with `/`
 */
export function adminUrl(base: string, path: string): URL {
  const root = new URL(base);
  if (!root.pathname.endsWith('/')) root.pathname += '/';
  return new URL(`.${path}`, root);
}

async function get<T>(base: string, path: string): Promise<T> {
  const url = adminUrl(base, path);
  const text = await new Promise<string>((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const request = http.get(url, { agent: false, signal }, (response) => {
      const chunks: string[] = [];
      let length = 0;
      response.setEncoding('utf8').on('data', (chunk: string) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > MAX_ANSWER)
          request.destroy(new Error(`the answer to ${path} is longer than ${MAX_ANSWER} characters`));
      });
      response.on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(chunks.join(''));
        else reject(new Error(`the server answers ${path} with status ${response.statusCode}`));
      });
    });
    request.on('error', reject);
  });
  const answer = jsonIn(text);
  if (typeof answer !== 'object' || answer === null)
    throw new Error(`the answer to ${path} is not Envoy's: is this Envoy's admin address?`);
  return answer as T;
}
