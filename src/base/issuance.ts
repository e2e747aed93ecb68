/** The record of one issuance: the authority creates it, the store keeps it, audit and revocation read it. */

/** What was issued: a certificate, or a token. */
export const ISSUANCE_KINDS = ['x509', 'jwt'] as const;
export type IssuanceKind = (typeof ISSUANCE_KINDS)[number];

/** Times in milliseconds since the epoch. */
export interface IssuanceRecord {
  readonly kind: IssuanceKind;
  /**
   * Lower-case hex. Of a certificate: its serial number, whole bytes without leading zero bytes. Of a token: the first 16
   * bytes of its SHA-256.
   */
  readonly serial: string;
  readonly spiffeId: string;
  readonly entryId: string;
  /** The ID of the signing authority: subject key identifier or `kid`, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
}
