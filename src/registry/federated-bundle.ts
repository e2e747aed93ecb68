/** The bundle of another trust domain, as it is given and as it is kept. */

import type { TrustBundle } from '../spiffe/bundle.ts';

/** Another trust domain's bundle. Immutable; a change makes a new object. */
export interface FederatedBundle extends TrustBundle {
  /** How often its domain says that one should look for a change, in seconds; undefined where it does not say. */
  readonly refreshHint: number | undefined;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** A bundle as it is given, checked: see bundle-input.ts. */
export interface BundleInput {
  /** DER; at least one, no two the same. */
  readonly authorities: readonly Buffer[];
  /** Undefined where the form that it came in has none: PEM, or a document that does not say. */
  readonly sequenceNumber: number | undefined;
  readonly refreshHint: number | undefined;
}

type Authorities = Pick<BundleInput, 'authorities'>;

/** True for the same ones in the same order. */
export function haveSameAuthorities({ authorities: a }: Authorities, { authorities: b }: Authorities): boolean {
  return a.length === b.length && a.every((der, at) => der.equals(b[at]!));
}
