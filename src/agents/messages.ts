/** The registry's values as messages of SPIRE's server API. Of numbers, those of time are seconds. */

import { createPublicKey } from 'node:crypto';
import type { CertifiedSvid } from '../ca/index.ts';
import type {
  BundleMask,
  Bundle as BundleMessage,
  EntryMask,
  Entry as EntryMessage,
  SPIFFEID,
  X509SVID,
} from '../gen/spire/api/types.ts';
import type { Entry } from '../registry/index.ts';
import { parseSpiffeId, pathOf, type SpiffeId, type TrustBundle, trustDomainOf } from '../spiffe/index.ts';

export function idMessage(id: SpiffeId): SPIFFEID {
  return { trustDomain: trustDomainOf(id), path: pathOf(id) };
}

export function seconds(instant: number): bigint {
  return BigInt(Math.floor(instant / 1000));
}

export function svidMessage({ certificates, spiffeId, notAfter }: CertifiedSvid, hint = ''): X509SVID {
  return { certChain: [...certificates], id: idMessage(spiffeId), expiresAt: seconds(notAfter), hint };
}

/** @param revisionNumber for agents @param domains the trust domains that it federates with */
export function entryMessage(
  entry: Entry,
  { revisionNumber, domains }: { readonly revisionNumber: bigint; readonly domains: readonly string[] },
  mask: EntryMask | undefined,
): EntryMessage {
  const has = (part: keyof EntryMask) => mask === undefined || mask[part];
  return {
    id: entry.id,
    spiffeId: has('spiffeId') ? idMessage(entry.spiffeId as SpiffeId) : undefined,
    parentId: has('parentId') ? idMessage(parseSpiffeId(entry.parentId)) : undefined,
    selectors: has('selectors') ? entry.selectors.map(({ type, value }) => ({ type, value })) : [],
    x509SvidTtl: has('x509SvidTtl') ? entry.x509SvidTtl : 0,
    federatesWith: has('federatesWith') ? [...domains] : [],
    admin: false,
    downstream: false,
    expiresAt: has('expiresAt') ? seconds(entry.expiresAt) : 0n,
    dnsNames: has('dnsNames') ? [...entry.dnsNames] : [],
    revisionNumber: has('revisionNumber') ? revisionNumber : 0n,
    storeSvid: false,
    jwtSvidTtl: has('jwtSvidTtl') ? entry.jwtSvidTtl : 0,
    hint: has('hint') ? entry.hint : '',
    createdAt: has('createdAt') ? seconds(entry.createdAt) : 0n,
  };
}

/** @param tainted tells whether a root, DER, was declared tainted */
export function bundleMessage(
  bundle: TrustBundle,
  mask: BundleMask | undefined,
  tainted: (root: Buffer) => boolean = () => false,
): BundleMessage {
  const has = (part: keyof BundleMask) => mask === undefined || mask[part];
  return {
    trustDomain: bundle.trustDomain,
    x509Authorities: has('x509Authorities')
      ? bundle.x509Authorities.map((asn1) => ({ asn1, tainted: tainted(asn1) }))
      : [],
    jwtAuthorities: has('jwtAuthorities')
      ? bundle.jwtAuthorities.map(({ keyId, publicKey }) => ({
          publicKey: createPublicKey({ key: publicKey, format: 'jwk' }).export({ type: 'spki', format: 'der' }),
          ...{ keyId, expiresAt: 0n, tainted: false },
        }))
      : [],
    refreshHint: has('refreshHint') ? BigInt(bundle.refreshHint ?? 0) : 0n,
    sequenceNumber: has('sequenceNumber') ? BigInt(bundle.sequenceNumber) : 0n,
  };
}
