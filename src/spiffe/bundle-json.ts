/**
 * A trust bundle as a SPIFFE bundle document: a JWK set with one key for each root.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 */

import { type JsonWebKey, X509Certificate } from 'node:crypto';
import type { TrustBundle } from './bundle.ts';

/** One root: its public key, and its certificate as the one element of `x5c` (DER, base64). */
export interface BundleKey extends JsonWebKey {
  readonly use: 'x509-svid';
  readonly x5c: readonly [string];
}

export interface BundleDocument {
  readonly spiffe_sequence: number;
  /** Seconds. */
  readonly spiffe_refresh_hint?: number;
  readonly keys: readonly BundleKey[];
}

/** @param refreshHint how often others should look for a change, in seconds; undefined: the document does not say */
export function bundleDocument(bundle: TrustBundle, refreshHint: number | undefined): BundleDocument {
  return {
    spiffe_sequence: bundle.sequenceNumber,
    ...(refreshHint === undefined ? {} : { spiffe_refresh_hint: refreshHint }),
    keys: bundle.authorities.map((der) => ({
      use: 'x509-svid',
      ...new X509Certificate(der).publicKey.export({ format: 'jwk' }),
      x5c: [der.toString('base64')],
    })),
  };
}
