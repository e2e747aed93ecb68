/** The input of `sidekey envoy bootstrap`. */

import { type SpiffeId, type TrustDomain, trustDomainId, trustDomainOf } from '../spiffe/index.ts';

/** An IP address (IPv6 without brackets) or a host name, and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A peer to accept: one workload, or all workloads of a trust domain. */
export type AllowedPeer = { readonly spiffeId: SpiffeId } | { readonly trustDomain: TrustDomain };

/** A listener that terminates mTLS and forwards the traffic. */
export interface Inbound {
  /** An IP address: Envoy can't listen on a host name. */
  readonly listen: Address;
  readonly to: Address;
  /** Not empty. */
  readonly allow: readonly AllowedPeer[];
}

/** A local clear-text listener whose connections are forwarded by mTLS. */
export interface EnvoyUpstream {
  /** The name of its listener and cluster; unique, and not one of {@link RESERVED_NAMES}. */
  readonly name: string;
  readonly at: Address;
  /** The SPIFFE ID that the server must have. */
  readonly spiffeId: SpiffeId;
  /** The address where local programs connect; an IP address. */
  readonly local: Address;
}

export interface BootstrapPlan {
  /** The SPIFFE ID of this Envoy. */
  readonly spiffeId: SpiffeId;
  /** Sidekey's pipe, an absolute path. */
  readonly socket: string;
  readonly admin: Address;
  /** Whether to forward bytes unchanged, instead of HTTP requests. */
  readonly tcp: boolean;
  /** How long an mTLS connection may stay open, in seconds; undefined: without limit. */
  readonly maxConnectionDuration?: number | undefined;
  readonly inbound?: Inbound | undefined;
  readonly upstreams: readonly EnvoyUpstream[];
}

/** Names that the bootstrap itself uses: the clusters of the pipe and of the program, and the mTLS listener. */
export const RESERVED_NAMES = { sidekey: 'sidekey', app: 'app', inbound: 'inbound' } as const;

/**
 * The name of the secret that verifies these peers: their trust domain's bundle, so that no other domain's authority is
 * accepted, or `ALL` if they are of several domains.
 */
export function validationName(peers: readonly AllowedPeer[]): string {
  const domains = new Set(peers.map((peer) => ('spiffeId' in peer ? trustDomainOf(peer.spiffeId) : peer.trustDomain)));
  const [first, ...more] = domains;
  return first === undefined || more.length > 0 ? 'ALL' : trustDomainId(first);
}
