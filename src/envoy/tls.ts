/** TLS contexts whose certificate and authorities come from Sidekey. */

import { type SpiffeId, trustDomainId } from '../spiffe/index.ts';
import { type AllowedPeer, RESERVED_NAMES, validationName } from './plan.ts';
import { lines, list, nest } from './yaml-text.ts';

const TYPES = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** The `sds_config` of one bootstrap: written out at its first use; later uses refer to that. */
export class SdsConfig {
  #written = false;

  text(): string {
    if (this.#written) return ' *sidekey';
    this.#written = true;
    return nest(2, SDS_CONFIG);
  }
}

const SDS_CONFIG = ` &sidekey
resource_api_version: V3
api_config_source:
  # Incremental: only this variant is told that an identity was removed. GRPC works too.
  api_type: DELTA_GRPC
  transport_api_version: V3
  # The node takes about 60 kB: send it once per stream.
  set_node_on_first_message_only: true
  grpc_services:
  - envoy_grpc:
      cluster_name: ${RESERVED_NAMES.sidekey}
      # Reconnects within a second after a restart of Sidekey; Envoy's default waits up to 30 s.
      retry_policy: { retry_back_off: { base_interval: 0.1s, max_interval: 1s } }`;

/** The `transport_socket` of a filter chain that accepts only `allow`. */
export function downstreamTls(spiffeId: SpiffeId, allow: readonly AllowedPeer[], sds: SdsConfig, alpn: string): string {
  return `transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": ${TYPES}.DownstreamTlsContext
    require_client_certificate: true
    common_tls_context:
      ${nest(6, commonTls(spiffeId, allow, sds, { alpn, purpose: 'The clients that it accepts' }))}`;
}

/** The `transport_socket` of a cluster that accepts only `server`. Only the first one in a bootstrap has comments. */
export function upstreamTls(spiffeId: SpiffeId, server: SpiffeId, sds: SdsConfig, first: boolean): string {
  const purpose = first ? 'The server that it connects to' : '';
  return `transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": ${TYPES}.UpstreamTlsContext
    common_tls_context:
      ${nest(6, commonTls(spiffeId, [{ spiffeId: server }], sds, { alpn: '', purpose }))}`;
}

interface Context {
  readonly alpn: string;
  /** The comment about the peers; empty if an earlier comment explains them. */
  readonly purpose: string;
}

function commonTls(
  spiffeId: SpiffeId,
  peers: readonly AllowedPeer[],
  sds: SdsConfig,
  { alpn, purpose }: Context,
): string {
  const name = validationName(peers);
  const domain = name === 'ALL' ? 'a trust domain that Sidekey knows' : 'this trust domain';
  return lines(
    alpn,
    purpose === ''
      ? ''
      : '# The identity of this Envoy: the name is the SPIFFE ID, the answer its certificate and key.',
    'tls_certificate_sds_secret_configs:',
    `- name: ${spiffeId}`,
    `  sds_config:${nest(2, sds.text())}`,
    purpose === '' ? '' : `# ${purpose}: a workload of ${domain} that also matches here.`,
    'combined_validation_context:',
    '  default_validation_context:',
    '    match_typed_subject_alt_names:',
    `    ${nest(4, list(peers.map(matcher)))}`,
    '  validation_context_sds_secret_config:',
    `    name: ${name}`,
    `    sds_config:${nest(4, sds.text())}`,
  );
}

function matcher(peer: AllowedPeer): string {
  const match = 'spiffeId' in peer ? `exact: ${peer.spiffeId}` : `prefix: ${trustDomainId(peer.trustDomain)}/`;
  return `san_type: URI\nmatcher: { ${match} }`;
}
