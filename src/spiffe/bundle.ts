/**
 * Trust bundles: the authorities that verify SVIDs of a trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 3
 */

import type { JsonWebKey, X509Certificate } from 'node:crypto';
import type { TrustDomain } from './id.ts';

/** A public key that verifies JWT-SVIDs. */
export interface JwtAuthority {
  /** `kid` in the headers of tokens and in bundle documents. */
  readonly keyId: string;
  /** Public members only. */
  readonly publicKey: JsonWebKey;
}

/** What a bundle contains, apart from its trust domain and number. */
export interface BundleContents {
  /** Root certificates, DER; the own domain's are oldest first, another's in the order in which they were given. */
  readonly x509Authorities: readonly Buffer[];
  readonly jwtAuthorities: readonly JwtAuthority[];
}

/** Immutable; a change creates a new object. */
export interface TrustBundle extends BundleContents {
  readonly trustDomain: TrustDomain;
  /** Certificate revocation lists, DER. They are not part of the SPIFFE document. */
  readonly crls: readonly Buffer[];
  /** The X.509 authorities, then the CRLs, as PEM blocks. */
  readonly pem: Buffer;
  /** Grows with each change. */
  readonly sequenceNumber: number;
  /** How often other domains should check for changes, in seconds; undefined if not given. */
  readonly refreshHint: number | undefined;
}

export interface TrustBundleParts {
  readonly trustDomain: TrustDomain;
  readonly roots: readonly X509Certificate[];
  readonly jwtAuthorities?: readonly JwtAuthority[];
  /** DER. */
  readonly crls?: readonly Buffer[];
  readonly sequenceNumber: number;
  readonly refreshHint: number | undefined;
}

export function makeTrustBundle(parts: TrustBundleParts): TrustBundle {
  const { trustDomain, roots, jwtAuthorities = [], crls = [], sequenceNumber, refreshHint } = parts;
  const blocks = [...roots.map((root) => root.toString()), ...crls.map(crlPem)];
  return {
    trustDomain,
    x509Authorities: roots.map((root) => root.raw),
    jwtAuthorities,
    crls,
    pem: Buffer.from(blocks.join(''), 'latin1'),
    sequenceNumber,
    refreshHint,
  };
}

/** True if both have the same authorities in the same order. */
export function haveSameAuthorities(a: BundleContents, b: BundleContents): boolean {
  return (
    a.x509Authorities.length === b.x509Authorities.length &&
    a.x509Authorities.every((der, i) => der.equals(b.x509Authorities[i]!)) &&
    JSON.stringify(a.jwtAuthorities) === JSON.stringify(b.jwtAuthorities)
  );
}

function crlPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`;
}
