/** The trust domain's own bundle. */

import { makeTrustBundle, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Authority } from './authority.ts';

/** How often others should look for a change, in seconds; SPIRE's default. */
const REFRESH_HINT = 300;

/** The bundle of these roots, oldest first. */
export function ownBundle(trustDomain: TrustDomain, roots: readonly Authority[], sequenceNumber: number): TrustBundle {
  const oldestFirst = [...roots].sort((a, b) => a.notBefore - b.notBefore || (a.id < b.id ? -1 : 1));
  return makeTrustBundle({
    trustDomain,
    roots: oldestFirst.map((root) => root.certificate),
    sequenceNumber,
    refreshHint: REFRESH_HINT,
  });
}
