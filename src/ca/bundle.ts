/** The trust bundle, as the SDS and as SPIFFE's JWK set tell it. */

import type { TrustDomain } from '../spiffe/id.ts';
import type { Authority } from './authority.ts';
import type { TrustBundle } from './types.ts';

/** The bundle of these roots. */
export function trustBundle(
  trustDomain: TrustDomain,
  roots: readonly Authority[],
  sequenceNumber: number,
): TrustBundle {
  const oldestFirst = [...roots].sort((a, b) => a.notBefore - b.notBefore || (a.id < b.id ? -1 : 1));
  return {
    trustDomain,
    authorities: oldestFirst.map((root) => root.certificate.raw),
    pem: Buffer.from(oldestFirst.map((root) => root.certificatePem).join(''), 'latin1'),
    sequenceNumber,
  };
}
