/**
 * A trust bundle as a SPIFFE bundle document: a JWK set with one key for each authority.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 */

import { type JsonWebKey, X509Certificate } from 'node:crypto';
import type { TrustBundle } from './bundle.ts';

/** A root: its public key, and its certificate as the only element of `x5c` (DER, base64). */
export interface X509BundleKey extends JsonWebKey {
  readonly use: 'x509-svid';
  readonly x5c: readonly [string];
}

export interface JwtBundleKey extends JsonWebKey {
  readonly use: 'jwt-svid';
  readonly kid: string;
}

export interface BundleDocument {
  readonly spiffe_sequence: number;
  /** Seconds. */
  readonly spiffe_refresh_hint?: number;
  readonly keys: readonly (X509BundleKey | JwtBundleKey)[];
}

export function bundleDocument(bundle: TrustBundle): BundleDocument {
  const { documentNumber, refreshHint, x509Authorities, jwtAuthorities } = bundle;
  return {
    spiffe_sequence: documentNumber,
    ...(refreshHint === undefined ? {} : { spiffe_refresh_hint: refreshHint }),
    keys: [
      ...x509Authorities.map((der) => ({
        use: 'x509-svid' as const,
        ...new X509Certificate(der).publicKey.export({ format: 'jwk' }),
        x5c: [der.toString('base64')] as const,
      })),
      ...jwtAuthorities.map(({ keyId, publicKey }) => ({ use: 'jwt-svid' as const, kid: keyId, ...publicKey })),
    ],
  };
}
