/** The dates of certificates and authorities, in milliseconds since the epoch. */

export interface Validity {
  readonly notBefore: number;
  /** The first instant at which it is over. */
  readonly notAfter: number;
}

/** True from `notBefore` on until `notAfter`, which is out. */
export function isValidAt({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now < notAfter;
}
