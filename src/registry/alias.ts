/** An alias: another name for a SPIFFE ID. */

import type { SpiffeId } from '../spiffe/index.ts';

/** Immutable; a change makes a new object. */
export interface Alias {
  /** In the form of {@link aliasKey}. */
  readonly host: string;
  /** The SPIFFE ID whose SVID the alias returns. The caller needs an entry for it, as without an alias. */
  readonly spiffeId: SpiffeId;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** Lower-cases A to Z: host names are case-insensitive (RFC 4343), and TLS clients send SNI in any case. */
export function aliasKey(host: string): string {
  return host.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
