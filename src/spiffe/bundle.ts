/**
 * Trust bundles: the authorities that verify SVIDs of a trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 3
 */

import type { JsonWebKey, X509Certificate } from 'node:crypto';
import { parseTrustDomain, type TrustDomain } from './id.ts';

/**
 * The trust domain of a throw-away CA, which goes with revocation lists to Envoys. An Envoy resumes a TLS session without
 * looking at the lists, but not after its set of CAs has changed. The top-level domain exists nowhere (RFC 2606).
 */
export const EPOCH_TRUST_DOMAIN: TrustDomain = parseTrustDomain('crl-epoch.invalid');

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
  /** The two parts of {@link pem}. */
  readonly authoritiesPem: Buffer;
  readonly crlsPem: Buffer;
  /** The certificate of {@link EPOCH_TRUST_DOMAIN}, PEM; undefined if there is none. */
  readonly epoch: Buffer | undefined;
  /** Grows with each change. */
  readonly sequenceNumber: number;
  /**
   * The number in the SPIFFE document. It grows with each change of the document: not with the revocation lists, which are
   * no part of it.
   */
  readonly documentNumber: number;
  /** How often other domains should check for changes, in seconds; undefined if not given. */
  readonly refreshHint: number | undefined;
}

export interface TrustBundleParts {
  readonly trustDomain: TrustDomain;
  readonly roots: readonly X509Certificate[];
  readonly jwtAuthorities?: readonly JwtAuthority[];
  /** DER. */
  readonly crls?: readonly Buffer[];
  readonly epoch?: Buffer | undefined;
  readonly sequenceNumber: number;
  /** By default the sequence number. */
  readonly documentNumber?: number;
  readonly refreshHint: number | undefined;
}

export function makeTrustBundle(parts: TrustBundleParts): TrustBundle {
  const { trustDomain, roots, jwtAuthorities = [], crls = [], epoch, sequenceNumber, refreshHint } = parts;
  const { documentNumber = sequenceNumber } = parts;
  const authorities = roots.map((root) => root.toString()).join('');
  const pem = Buffer.from(authorities + crls.map(crlPem).join(''), 'latin1');
  return {
    trustDomain,
    x509Authorities: roots.map((root) => root.raw),
    jwtAuthorities,
    crls,
    pem,
    authoritiesPem: pem.subarray(0, authorities.length),
    crlsPem: pem.subarray(authorities.length),
    epoch,
    sequenceNumber,
    documentNumber,
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
