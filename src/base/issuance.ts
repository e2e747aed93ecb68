/** The record of one issuance: the authority creates it, the store keeps it, audit and revocation read it. */

/** Times in milliseconds since the epoch. */
export interface IssuanceRecord {
  /** Lower-case hex of whole bytes without leading zero bytes. */
  readonly serial: string;
  readonly spiffeId: string;
  readonly entryId: string;
  /** The subject key identifier of the signing authority, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
}
