/** The record of one issuance: made by the authority, kept by the store, read by audit and revocation. */

/** Times in milliseconds since the epoch. */
export interface IssuanceRecord {
  /** Lower-case hex, without leading zeros beyond a whole byte. */
  readonly serial: string;
  readonly spiffeId: string;
  readonly entryId: string;
  /** The subject key identifier of the signing authority, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
}
