/**
 * The trust bundle as a SPIFFE bundle document (a JWK set), for the admin API.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 */

import { X509Certificate } from 'node:crypto';
import type { TrustBundle } from './types.ts';

/** One root: its public key, and its certificate as the one element of `x5c` (DER, base64). */
export interface BundleKey {
  readonly use: 'x509-svid';
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
  readonly x5c: readonly [string];
}

export interface BundleDocument {
  readonly spiffe_sequence: number;
  /** Seconds. */
  readonly spiffe_refresh_hint: number;
  readonly keys: readonly BundleKey[];
}

/** How often others should look for a change, in seconds; SPIRE's default. */
const REFRESH_HINT = 300;

export function bundleDocument(bundle: TrustBundle): BundleDocument {
  return {
    spiffe_sequence: bundle.sequenceNumber,
    spiffe_refresh_hint: REFRESH_HINT,
    keys: bundle.authorities.map((der) => {
      const { kty, crv, x, y } = new X509Certificate(der).publicKey.export({ format: 'jwk' });
      return { use: 'x509-svid', kty: kty!, crv: crv!, x: x!, y: y!, x5c: [der.toString('base64')] };
    }),
  };
}
