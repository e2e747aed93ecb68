/**
 * JWT authorities as JWK sets. Consumers differ in the members that they accept, so there are three forms: the SPIFFE
 * bundle (`bundle-json.ts`), and the two here.
 *
 * Keys of other types are left out: one unknown key makes go-spiffe refuse the whole set.
 */

import type { JsonWebKey } from 'node:crypto';
import type { JwtAuthority } from './bundle.ts';
import { type JwtAlgorithm, jwtAlgorithmsOf } from './jwt-algorithms.ts';

export interface Jwks<Key extends JsonWebKey = JsonWebKey> {
  readonly keys: readonly Key[];
}

/** A key of FetchJWTBundles: without `use` and `alg`, as SPIRE answers. */
export interface WorkloadApiKey extends JsonWebKey {
  readonly kid: string;
}

/** A key of an OIDC provider. */
export interface OidcKey extends JsonWebKey {
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: JwtAlgorithm;
}

/** The form of the Workload API. Without authorities its `keys` is an empty list. */
export function workloadApiJwks(authorities: readonly JwtAuthority[]): Jwks<WorkloadApiKey> {
  return { keys: usable(authorities).map(({ keyId, publicKey }) => ({ kid: keyId, ...publicKey })) };
}

/**
 * The form that OIDC providers publish. `use` is `sig`: jose and PyJWT refuse keys with SPIFFE's `jwt-svid`.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html section 3, jwks_uri
 */
export function oidcJwks(authorities: readonly JwtAuthority[]): Jwks<OidcKey> {
  return {
    keys: usable(authorities).map(({ keyId, publicKey }) => {
      return { kid: keyId, use: 'sig', alg: jwtAlgorithmsOf(publicKey)[0]!, ...publicKey };
    }),
  };
}

function usable(authorities: readonly JwtAuthority[]): readonly JwtAuthority[] {
  return authorities.filter(({ publicKey }) => jwtAlgorithmsOf(publicKey).length > 0);
}
