/** Listeners and their filters. */

import { type Address, type BootstrapPlan, type EnvoyUpstream, type Inbound, RESERVED_NAMES } from './plan.ts';
import { downstreamTls, type SdsConfig } from './tls.ts';
import { nest, scalar } from './yaml-text.ts';

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';

type ListenerPlan = Pick<BootstrapPlan, 'spiffeId' | 'tcp' | 'maxConnectionDuration'>;

const WHY_LIMIT = '# Certificates are checked in handshakes only: this ends open connections of revoked ones.';

/** The limit of HTTP connections, of a connection manager and of a cluster. */
export function httpLimit(seconds: number): string {
  return `${WHY_LIMIT}
common_http_protocol_options: { max_connection_duration: ${seconds}s }`;
}

/** The mTLS listener. */
export function inboundListener({ listen, allow }: Inbound, plan: ListenerPlan, sds: SdsConfig): string {
  const { spiffeId: me, tcp, maxConnectionDuration: longest } = plan;
  const alpn = tcp ? '' : 'alpn_protocols: [h2, http/1.1]';
  const { inbound, app } = RESERVED_NAMES;
  const caller = longest === undefined ? VERIFIED_CALLER : `${VERIFIED_CALLER}\n${httpLimit(longest)}`;
  const filter = tcp ? proxy(inbound, app, longest) : http(inbound, app, caller);
  return `# In: terminates mTLS and forwards to the program.
name: ${inbound}
address: ${socketAddress(listen)}
filter_chains:
- ${nest(2, downstreamTls(me, allow, sds, alpn))}
  filters:
  - ${nest(4, filter)}`;
}

/** The plain listener for one upstream. */
export function outboundListener({ name, local, spiffeId }: EnvoyUpstream, plan: ListenerPlan): string {
  // Of HTTP connections, the cluster limits those to the upstream.
  const filter = plan.tcp ? proxy(name, name, plan.maxConnectionDuration) : http(name, name, UNVERIFIED_CALLER);
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

/** @param longest limits the connections on both sides, in seconds */
function proxy(stat: string, cluster: string, longest: number | undefined): string {
  const limit = `
  ${WHY_LIMIT}
  max_downstream_connection_duration: ${longest}s`;
  return `name: envoy.filters.network.tcp_proxy
typed_config:
  "@type": ${FILTERS}.network.tcp_proxy.v3.TcpProxy
  stat_prefix: ${scalar(stat)}
  cluster: ${scalar(cluster)}${longest === undefined ? '' : limit}`;
}
