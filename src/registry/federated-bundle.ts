/** The bundle of another trust domain, as it is given and as it is kept. */

import type { BundleContents, TrustBundle } from '../spiffe/bundle.ts';

/** Another trust domain's bundle. Immutable; a change makes a new object. */
export interface FederatedBundle extends TrustBundle {
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** A bundle as it is given, checked (see bundle-input.ts): at least one X.509 authority, no two the same. */
export interface BundleInput extends BundleContents {
  /** Undefined if the input has none: PEM, or a document without it. */
  readonly sequenceNumber: number | undefined;
  readonly refreshHint: number | undefined;
}
