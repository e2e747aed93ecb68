/** An alias: another name for a SPIFFE ID. */

import type { SpiffeId } from '../spiffe/id.ts';

/** Immutable; a change makes a new object. */
export interface Alias {
  /** As {@link aliasKey} writes it. */
  readonly host: string;
  /** Whose SVID is meant: who asks must have an entry for it, as under its own name. */
  readonly spiffeId: SpiffeId;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** Host names are the same in any case (RFC 4343), and TLS clients send SNI as they please; no other letter has a case. */
export function aliasKey(host: string): string {
  return host.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
