/** The parts of a bootstrap that the rules check, collected once. */

import { mapsIn, type Spot } from './spot.ts';

/** `on-demand`: certificates by the names that TLS clients send. */
export type SecretKind = 'certificate' | 'validation' | 'on-demand' | 'other';

/** A secret that is requested by gRPC. */
export interface AskedSecret {
  readonly kind: SecretKind;
  readonly name: string | undefined;
  /** The `SdsSecretConfig`, or a certificate selector's configuration, which has no name. */
  readonly at: Spot;
  readonly source: SdsSource;
}

export type SdsSource =
  | { readonly kind: 'ads'; readonly at: Spot }
  /** `at` is the `ApiConfigSource`. */
  | { readonly kind: 'api'; readonly at: Spot; readonly cluster: string | undefined };

export interface TlsContext {
  readonly side: 'upstream' | 'downstream';
  readonly at: Spot;
  readonly common: Spot;
}

export interface Model {
  readonly root: Spot;
  /** Static clusters, by name. */
  readonly clusters: ReadonlyMap<string, Spot>;
  readonly secrets: readonly AskedSecret[];
  /** Each `ApiConfigSource` of SDS once, including that of ADS if a secret uses it. */
  readonly sources: readonly Extract<SdsSource, { kind: 'api' }>[];
  readonly contexts: readonly TlsContext[];
}

export function modelOf(root: Spot): Model {
  const clusters = new Map<string, Spot>();
  for (const cluster of root.get('static_resources', 'clusters')?.each ?? []) {
    const name = cluster.get('name')?.text;
    if (name !== undefined) clusters.set(name, cluster);
  }
  const secrets: AskedSecret[] = [];
  const contexts: TlsContext[] = [];
  const asked = new Set<object>();
  for (const map of mapsIn(root)) {
    for (const { field, spot } of map.members) {
      const common = spot.get('common_tls_context');
      if (common !== undefined) contexts.push({ side: sideOf(field, spot), at: spot, common });
      for (const one of spot.each) {
        const onDemand = isOnDemand(one);
        const source = sourceOf(one.get(onDemand ? 'config_source' : 'sds_config'));
        if (source === undefined || asked.has(one.identity!)) continue;
        asked.add(one.identity!);
        const kind = onDemand ? 'on-demand' : (SECRET_KINDS[field] ?? 'other');
        secrets.push({ kind, name: one.get('name')?.text, at: one, source });
      }
    }
  }
  return { root, clusters, secrets, sources: sourcesOf(root, secrets), contexts };
}

const SECRET_KINDS: Readonly<Record<string, SecretKind>> = {
  tls_certificate_sds_secret_configs: 'certificate',
  validation_context_sds_secret_config: 'validation',
};

/** Decided by the type of a `typed_config`, or by the field if QUIC wraps the context. */
function sideOf(field: string, context: Spot): TlsContext['side'] {
  return /upstream/i.test(context.get('@type')?.text ?? field) ? 'upstream' : 'downstream';
}

/** @see envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config */
function isOnDemand(value: Spot): boolean {
  return value.get('@type')?.text?.endsWith('.on_demand_secret.v3.Config') ?? false;
}

/** The source of a secret; undefined if it is not a secret, or comes from this file or another file. */
function sourceOf(config: Spot | undefined): SdsSource | undefined {
  if (config === undefined) return undefined;
  const ads = config.get('ads');
  if (ads !== undefined) return { kind: 'ads', at: ads };
  const api = config.get('api_config_source');
  return api === undefined ? undefined : apiSource(api);
}

function apiSource(at: Spot): Extract<SdsSource, { kind: 'api' }> {
  const [service] = at.get('grpc_services')?.each ?? [];
  return { kind: 'api', at, cluster: service?.get('envoy_grpc', 'cluster_name')?.text };
}

function sourcesOf(root: Spot, secrets: readonly AskedSecret[]): Extract<SdsSource, { kind: 'api' }>[] {
  const found = new Map<object, Extract<SdsSource, { kind: 'api' }>>();
  for (const { source } of secrets) if (source.kind === 'api') found.set(source.at.identity!, source);
  const ads = root.get('dynamic_resources', 'ads_config');
  if (ads?.identity !== undefined && secrets.some(({ source }) => source.kind === 'ads')) {
    found.set(ads.identity, apiSource(ads));
  }
  return [...found.values()];
}

/** Whether the server of a secret can be Sidekey: any source except for a cluster on the network. */
export function mayBeOurs(source: SdsSource, clusters: ReadonlyMap<string, Spot>): boolean {
  const cluster = source.kind === 'api' && source.cluster !== undefined ? clusters.get(source.cluster) : undefined;
  return cluster === undefined || networkAddress(cluster) === undefined;
}

/** The first endpoint of a cluster that is not a Unix socket. */
export function networkAddress(cluster: Spot): Spot | undefined {
  return addressesOf(cluster).find((address) => address.get('pipe') === undefined);
}

/** True if all endpoints of the cluster are Unix sockets. */
export function isPipe(cluster: Spot): boolean {
  return networkAddress(cluster) === undefined && addressesOf(cluster).length > 0;
}

export function addressesOf(cluster: Spot): Spot[] {
  const localities = cluster.get('load_assignment', 'endpoints')?.each ?? [];
  return localities
    .flatMap((locality) => locality.get('lb_endpoints')?.each ?? [])
    .flatMap((endpoint) => endpoint.get('endpoint', 'address') ?? []);
}
