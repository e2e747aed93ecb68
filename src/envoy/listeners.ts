/** Listeners and their filters. */

import type { SpiffeId } from '../spiffe/index.ts';
import { type Address, type EnvoyUpstream, type Inbound, RESERVED_NAMES } from './plan.ts';
import { downstreamTls, type SdsConfig } from './tls.ts';
import { nest, scalar } from './yaml-text.ts';

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';

/** The mTLS listener. */
export function inboundListener({ listen, allow }: Inbound, me: SpiffeId, tcp: boolean, sds: SdsConfig): string {
  const alpn = tcp ? '' : 'alpn_protocols: [h2, http/1.1]';
  const { inbound, app } = RESERVED_NAMES;
  const filter = tcp ? proxy(inbound, app) : http(inbound, app, VERIFIED_CALLER);
  return `# In: terminates mTLS and forwards to the program.
name: ${inbound}
address: ${socketAddress(listen)}
filter_chains:
- ${nest(2, downstreamTls(me, allow, sds, alpn))}
  filters:
  - ${nest(4, filter)}`;
}

/** The plain listener for one upstream. */
export function outboundListener({ name, local, spiffeId }: EnvoyUpstream, tcp: boolean): string {
  const filter = tcp ? proxy(name, name) : http(name, name, UNVERIFIED_CALLER);
  return `# Out: programs on this host connect here, in clear text, to reach ${spiffeId}.
name: ${scalar(name)}
address: ${socketAddress(local)}
filter_chains:
- filters:
  - ${nest(4, filter)}`;
}

/** The address of a listener or an endpoint. */
export function socketAddress({ host, port }: Address): string {
  // Otherwise the IPv6 "any" address would accept no IPv4, unlike in most other programs.
  const both = host === '::' ? ', ipv4_compat: true' : '';
  return `{ socket_address: { address: ${scalar(host)}, port_value: ${port}${both} } }`;
}

const VERIFIED_CALLER = `# The program gets the caller's verified SPIFFE ID in x-forwarded-client-cert.
forward_client_cert_details: SANITIZE_SET
set_current_client_cert_details: { uri: true }`;
const UNVERIFIED_CALLER = `# Callers are not verified here, so a header that claims this is removed.
forward_client_cert_details: SANITIZE`;

function http(stat: string, cluster: string, caller: string): string {
  return `name: envoy.filters.network.http_connection_manager
typed_config:
  "@type": ${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager
  stat_prefix: ${scalar(stat)}
  ${nest(2, caller)}
  route_config:
    virtual_hosts:
    - name: all
      domains: ["*"]
      routes:
      - match: { prefix: / }
        # No timeout for answers, so that the two programs decide; Envoy's default is 15 s.
        route: { cluster: ${scalar(cluster)}, timeout: 0s }
  http_filters:
  - name: envoy.filters.http.router
    typed_config:
      "@type": ${FILTERS}.http.router.v3.Router`;
}

function proxy(stat: string, cluster: string): string {
  return `name: envoy.filters.network.tcp_proxy
typed_config:
  "@type": ${FILTERS}.network.tcp_proxy.v3.TcpProxy
  stat_prefix: ${scalar(stat)}
  cluster: ${scalar(cluster)}`;
}
