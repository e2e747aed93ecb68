/** The validity of certificates and authorities, in milliseconds since the epoch. */

/** Leaves and intermediates are backdated by this much, in milliseconds, so that peers with a slow clock accept them. */
export const BACKDATE_MS = 30_000;

/** Validators accept tokens for this long after their end, and before their start, in milliseconds; SPIRE's value. */
export const TOKEN_LEEWAY_MS = 60_000;

export interface Validity {
  readonly notBefore: number;
  /** The first instant at which it is no longer valid. */
  readonly notAfter: number;
}

/** True from `notBefore` (inclusive) to `notAfter` (exclusive). */
export function isValidAt({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now < notAfter;
}
