/**
 * The signature algorithms of JWT-SVIDs, and the keys that each one needs.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md section 2.1
 * @see https://www.rfc-editor.org/rfc/rfc7518 section 3
 */

import type { JsonWebKey } from 'node:crypto';

const EC_ALGORITHMS = ['ES256', 'ES384', 'ES512'] as const;
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const;

export const JWT_ALGORITHMS = [...EC_ALGORITHMS, ...RSA_ALGORITHMS] as const;
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number];

const CURVES: Readonly<Record<string, JwtAlgorithm>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' };

/**
 * The algorithms that fit a public key; the first one is what Sidekey signs with. None for a key that no JWT-SVID can be
 * signed with, such as one on another curve.
 */
export function jwtAlgorithmsOf({ kty, crv }: JsonWebKey): readonly JwtAlgorithm[] {
  if (kty === 'RSA') return RSA_ALGORITHMS;
  const algorithm = kty === 'EC' ? CURVES[crv ?? ''] : undefined;
  return algorithm === undefined ? [] : [algorithm];
}
