/** The bundle of another trust domain, as input and as stored. */

import type { BundleContents, TrustBundle } from '../spiffe/index.ts';

/** The bundle of another trust domain. Immutable; a change creates a new object. */
export interface FederatedBundle extends TrustBundle {
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** A checked bundle from user input (see bundle-input.ts): at least one X.509 authority, without duplicates. */
export interface BundleInput extends BundleContents {
  /** Undefined if the input has none, as in PEM. */
  readonly sequenceNumber: number | undefined;
  readonly refreshHint: number | undefined;
}
