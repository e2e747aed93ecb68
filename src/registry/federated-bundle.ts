/** The bundle of another trust domain, as input and as stored. */

import { X509Certificate } from 'node:crypto';
import type { BundleContents, TrustBundle } from '../spiffe/index.ts';

/** Who brought a bundle: a person (`manual`), or the poller from the domain's bundle endpoint (`polled`). */
export const BUNDLE_SOURCES = ['manual', 'polled'] as const;
export type BundleSource = (typeof BUNDLE_SOURCES)[number];

/**
 * The bundle of another trust domain. Immutable; a change creates a new object. A polled one may have no authority: its
 * domain then trusts none of its own SVIDs.
 */
export interface FederatedBundle extends TrustBundle {
  readonly source: BundleSource;
  /** The number in the document, exactly; undefined if it has none, as in PEM. `sequenceNumber` then counts changes here. */
  readonly statedSequence: bigint | undefined;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/**
 * A checked bundle (see bundle-input.ts), without duplicates. One that a person set has at least one X.509 authority that
 * has not expired.
 */
export interface BundleInput extends BundleContents {
  /** Undefined if the input has none, as in PEM. */
  readonly sequenceNumber: bigint | undefined;
  readonly refreshHint: number | undefined;
}

const ends = new WeakMap<object, number>();

/** When the last X.509 authority of a bundle ends, in milliseconds since the epoch; undefined: it has none. */
export function bundleEnd(bundle: Pick<BundleContents, 'x509Authorities'>): number | undefined {
  if (bundle.x509Authorities.length === 0) return undefined;
  let end = ends.get(bundle);
  if (end === undefined) {
    end = Math.max(...bundle.x509Authorities.map((der) => new X509Certificate(der).validToDate.getTime()));
    ends.set(bundle, end);
  }
  return end;
}
