/** Clusters of the bootstrap. */

import { isIP } from 'node:net';
import { httpLimit, socketAddress } from './listeners.ts';
import { type Address, type BootstrapPlan, type EnvoyUpstream, RESERVED_NAMES } from './plan.ts';
import { type SdsConfig, upstreamTls } from './tls.ts';
import { lines, nest, scalar } from './yaml-text.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** The cluster of Sidekey's pipe, which every `sds_config` names. */
export function pipeCluster(socket: string): string {
  const { sidekey } = RESERVED_NAMES;
  return `# Sidekey's pipe. Mount its directory into a container, not the socket: each start of Sidekey makes a new socket.
name: ${sidekey}
type: STATIC
connect_timeout: 1s
# SDS is gRPC, which needs HTTP/2. The keepalive detects a Sidekey that hangs.
typed_extension_protocol_options:
  ${HTTP_OPTIONS}:
    "@type": type.googleapis.com/${HTTP_OPTIONS}
    explicit_http_config:
      http2_protocol_options:
        connection_keepalive: { interval: 30s, timeout: 5s }
load_assignment:
  cluster_name: ${sidekey}
  endpoints:
  - lb_endpoints:
    - endpoint: { address: { pipe: { path: ${scalar(socket)} } } }`;
}

/** The cluster of the program behind the mTLS listener. */
export function appCluster(to: Address): string {
  return lines('# The program behind the mTLS listener.', cluster(RESERVED_NAMES.app, to));
}

export function upstreamCluster(
  { name, at, spiffeId }: EnvoyUpstream,
  { spiffeId: me, tcp, maxConnectionDuration: longest }: BootstrapPlan,
  sds: SdsConfig,
  first: boolean,
): string {
  const options = tcp || longest === undefined ? [] : [limited(longest)];
  return lines(cluster(name, at), ...options, upstreamTls(me, spiffeId, sds, first));
}

/** The protocol is Envoy's default, which an extension must name. */
function limited(longest: number): string {
  return `typed_extension_protocol_options:
  ${HTTP_OPTIONS}:
    "@type": type.googleapis.com/${HTTP_OPTIONS}
    ${nest(4, httpLimit(longest))}
    explicit_http_config: { http_protocol_options: {} }`;
}

function cluster(name: string, at: Address): string {
  return `name: ${scalar(name)}
${resolution(at)}
load_assignment:
  cluster_name: ${scalar(name)}
  endpoints:
  - lb_endpoints:
    - endpoint: { address: ${socketAddress(at)} }`;
}

function resolution({ host }: Address): string {
  if (isIP(host) !== 0) return 'type: STATIC';
  // Envoy's default prefers IPv6: localhost would be ::1, where most programs don't listen.
  return 'type: STRICT_DNS\ndns_lookup_family: V4_PREFERRED';
}
