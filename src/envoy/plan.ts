/** What a bootstrap is to do, as `sidekey envoy bootstrap` is told it. */

import { type SpiffeId, type TrustDomain, trustDomainId, trustDomainOf } from '../spiffe/id.ts';

/** An IP address (IPv6 without brackets) or a host name, and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Somebody to let in: one workload, or all those of a trust domain. */
export type Peer = { readonly spiffeId: SpiffeId } | { readonly trustDomain: TrustDomain };

/** A listener that takes mTLS off and passes on what it gets. */
export interface Inbound {
  /** An IP address: Envoy listens on no name. */
  readonly listen: Address;
  readonly to: Address;
  /** Not empty. */
  readonly allow: readonly Peer[];
}

/** A plain local listener whose connections go to another place by mTLS. */
export interface Upstream {
  /** Of its listener and cluster, so unlike that of others and of {@link RESERVED_NAMES}. */
  readonly name: string;
  readonly at: Address;
  /** Who must answer there. */
  readonly spiffeId: SpiffeId;
  /** Where the programs of this host connect; an IP address. */
  readonly local: Address;
}

export interface BootstrapPlan {
  /** Who this Envoy is. */
  readonly spiffeId: SpiffeId;
  /** Sidekey's pipe, an absolute path. */
  readonly socket: string;
  readonly admin: Address;
  /** Bytes are passed on as they are; else requests of HTTP. */
  readonly tcp: boolean;
  readonly inbound?: Inbound | undefined;
  readonly upstreams: readonly Upstream[];
}

/** What a bootstrap has of its own: the clusters of Sidekey's pipe and of the program behind, and the mTLS listener. */
export const RESERVED_NAMES = { sidekey: 'sidekey', app: 'app', inbound: 'inbound' } as const;

/**
 * The name of the secret that verifies these peers: their trust domain's, so that no other domain's authority counts,
 * or those of all domains where they are of several.
 */
export function validationName(peers: readonly Peer[]): string {
  const domains = new Set(peers.map((peer) => ('spiffeId' in peer ? trustDomainOf(peer.spiffeId) : peer.trustDomain)));
  const [first, ...more] = domains;
  return first === undefined || more.length > 0 ? 'ALL' : trustDomainId(first);
}
