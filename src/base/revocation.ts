/** The record of a revoked certificate: the registry keeps it, and the authority writes it into its list. */

import type { IssuanceRecord } from './issuance.ts';

/** Why a certificate was revoked, with the codes of RFC 5280 section 5.3.1. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  'key-compromise': 1,
  'affiliation-changed': 3,
  superseded: 4,
  'cessation-of-operation': 5,
  /** The only one that can be undone. */
  'certificate-hold': 6,
  'privilege-withdrawn': 9,
} as const;
export type RevocationReason = keyof typeof REVOCATION_REASONS;

export const REVOCATION_REASON_NAMES = Object.keys(REVOCATION_REASONS) as RevocationReason[];

export function isRevocationReason(value: unknown): value is RevocationReason {
  return (REVOCATION_REASON_NAMES as readonly unknown[]).includes(value);
}

/** The longest time that a request may wait for proxies to have the lists, in seconds. */
export const MAX_REVOCATION_WAIT = 20;

/** A certificate that was revoked, as its issuance has it. */
export interface Revocation
  extends Pick<IssuanceRecord, 'serial' | 'authorityId' | 'spiffeId' | 'entryId' | 'notAfter'> {
  /** Milliseconds since the epoch. */
  readonly revokedAt: number;
  readonly reason: RevocationReason;
}
