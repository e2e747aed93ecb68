/** The validity of certificates and authorities, in milliseconds since the epoch. */

export interface Validity {
  readonly notBefore: number;
  /** The first instant at which it is no longer valid. */
  readonly notAfter: number;
}

/** True from `notBefore` (inclusive) to `notAfter` (exclusive). */
export function isValidAt({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now < notAfter;
}
