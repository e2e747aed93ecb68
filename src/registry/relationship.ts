/**
 * Federation relationships: where this server fetches the bundle of another trust domain, and how it knows the endpoint.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 5
 */

import type { SpiffeId, TrustDomain } from '../spiffe/index.ts';

export const ENDPOINT_PROFILES = ['https_spiffe', 'https_web'] as const;
export type EndpointProfile = (typeof ENDPOINT_PROFILES)[number];

/** What a relationship says of the endpoint. Nothing of it follows from another part, as section 7.2 demands. */
export interface RelationshipInput {
  readonly trustDomain: TrustDomain;
  /** An https URL, byte for byte as it was given. */
  readonly url: string;
  readonly profile: EndpointProfile;
  /** The SPIFFE ID of the endpoint's certificate; only with https_spiffe. */
  readonly endpointSpiffeId: SpiffeId | undefined;
  /** PEM certificates that replace the public CAs; only with https_web. */
  readonly endpointCa: string | undefined;
}

/** Immutable; a change creates a new object. Times are milliseconds since the epoch. */
export interface Relationship extends RelationshipInput {
  readonly createdAt: number;
  readonly updatedAt: number;
}
