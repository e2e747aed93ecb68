/** The authorities that were removed before they expired. */

export interface GoneAuthority {
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
  /** True if it was tainted: it never comes back. */
  readonly tainted: boolean;
}

/** By authority ID. */
export type GoneAuthorities = Readonly<Record<string, GoneAuthority>>;

/** The removed authorities that have not expired. @param slots those that exist, by ID */
export function goneAfter(
  before: GoneAuthorities,
  slots: Readonly<Record<string, unknown>>,
  now: number,
): Record<string, GoneAuthority> {
  return Object.fromEntries(Object.entries(before).filter(([id, { notAfter }]) => now < notAfter && !(id in slots)));
}

export function areGone(value: object): boolean {
  return Object.values(value).every(({ notAfter }) => Number.isSafeInteger(notAfter));
}
