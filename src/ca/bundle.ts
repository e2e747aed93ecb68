/** The trust domain's own bundle. */

import { makeTrustBundle, type TrustBundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Authority } from './authority.ts';

/** The bundle of these roots, oldest first. */
export function trustBundle(
  trustDomain: TrustDomain,
  roots: readonly Authority[],
  sequenceNumber: number,
): TrustBundle {
  const oldestFirst = [...roots].sort((a, b) => a.notBefore - b.notBefore || (a.id < b.id ? -1 : 1));
  return makeTrustBundle(
    trustDomain,
    oldestFirst.map((root) => root.certificate),
    sequenceNumber,
  );
}
