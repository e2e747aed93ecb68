/**
 * Trust bundles: the roots that a trust domain's SVIDs are checked by.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 3
 */

import type { X509Certificate } from 'node:crypto';
import type { TrustDomain } from './id.ts';

/** Immutable; a change makes a new object. */
export interface TrustBundle {
  readonly trustDomain: TrustDomain;
  /** Roots, DER; the own domain's are oldest first, another's as they were given. */
  readonly authorities: readonly Buffer[];
  /** The same as PEM, one block after the other. */
  readonly pem: Buffer;
  /** Grows with each change. */
  readonly sequenceNumber: number;
}

/** The bundle of these roots. */
export function makeTrustBundle(
  trustDomain: TrustDomain,
  roots: readonly X509Certificate[],
  sequenceNumber: number,
): TrustBundle {
  return {
    trustDomain,
    authorities: roots.map((root) => root.raw),
    pem: Buffer.from(roots.map((root) => root.toString()).join(''), 'latin1'),
    sequenceNumber,
  };
}
