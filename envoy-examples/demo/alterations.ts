/** Changes of bootstraps for single steps of the demo, in addition to bootstraps.ts. */

import { type Json, rewrite } from './bootstraps.ts';

/** Adds a route /service/mistaken to service-gray that expects the SPIFFE ID of service-purple. */
export function withMistakenRoute(front: Json): Json {
  return rewrite(front, (key, value) => {
    if (key === 'routes' && hasCluster(value, 'service-gray')) {
      const route = { match: { path_separated_prefix: MISTAKEN_ROUTE }, route: { cluster: MISTAKEN } };
      return [route, ...(value as Json[])];
    }
    if (key === 'clusters') {
      const gray = (value as Json[]).find((cluster) => (cluster as { name: string }).name === 'service-gray')!;
      return [...(value as Json[]), mistake(gray)];
    }
    return undefined;
  });
}

export const MISTAKEN = 'service-mistaken';
export const MISTAKEN_ROUTE = '/service/mistaken';

function mistake(gray: Json): Json {
  return rewrite(gray, (key, value) => {
    if (key === 'name' && value === 'service-gray') return MISTAKEN;
    if (key === 'exact') return 'spiffe://ilinux.io/service-purple';
    return undefined;
  });
}

function hasCluster(routes: Json, cluster: string): boolean {
  return (routes as { route?: { cluster: string } }[]).some(({ route }) => route?.cluster === cluster);
}

/**
 * Makes Envoy do a full handshake after so many requests to a service; with 1, each request uses the current certificates.
 */
export function withFullHandshakes(front: Json, requestsPerConnection: number): Json {
  return rewrite(front, (key, value) => {
    if (key !== 'clusters') return undefined;
    return (value as { [key: string]: Json }[]).map((cluster) => {
      if (cluster.transport_socket === undefined) return cluster;
      const socket = cluster.transport_socket as { typed_config: { [key: string]: Json } };
      return {
        ...cluster,
        typed_extension_protocol_options: { [HTTP_OPTIONS]: httpOptions(requestsPerConnection) },
        transport_socket: { ...socket, typed_config: { ...socket.typed_config, max_session_keys: 0 } },
      };
    });
  });
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function httpOptions(requestsPerConnection: number): Json {
  return {
    '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
    common_http_protocol_options: { max_requests_per_connection: requestsPerConnection },
    explicit_http_config: { http_protocol_options: {} },
  };
}

/** Makes Envoy wait for its secrets for half a second instead of 15 s. */
export function impatient(bootstrap: Json): Json {
  return rewrite(bootstrap, (key, value) =>
    key === 'sds_config' ? { ...(value as { [key: string]: Json }), initial_fetch_timeout: '0.5s' } : undefined,
  );
}
