/** Why a caller does not get a name now. Names are held, not refused: the reason is on record until it ends. */

import { isExpired } from '../registry/entry.ts';
import { missing } from '../registry/match.ts';
import type { Entry } from '../registry/types.ts';
import type { SpiffeId } from '../spiffe/id.ts';
import { redactSelector } from '../spiffe/selector.ts';

export type HeldReason =
  /** No entry gives this SPIFFE ID to anybody. */
  | 'no-entry'
  /** An entry gives it, but to somebody who has selectors that this caller lacks. */
  | 'lacks-selectors'
  /** The entry that gives it has expired. */
  | 'expired'
  /** The caller matches no entry, and bundles are for callers that do. */
  | 'no-identity'
  /** No entry of this caller federates with the trust domain whose bundle it asks for. */
  | 'not-federated'
  /** An entry of this caller federates with the trust domain, whose bundle nobody has set yet. */
  | 'no-bundle'
  /** The name is no SPIFFE ID, no bundle that is known and no reserved name. */
  | 'unknown-name'
  /** The authority or the store failed; it is tried again. */
  | 'issuance-failed';

export interface Held {
  readonly reason: HeldReason;
  /** One line for people; it shows no environment value. */
  readonly detail: string;
}

/** Explains why none of the `candidates`, the entries that give this ID, gives it to a caller with these selectors. */
export function explainHeld(
  spiffeId: SpiffeId,
  candidates: readonly Entry[],
  callerSelectors: ReadonlySet<string>,
  now: number,
): Held {
  const nearest = candidates
    .map((entry) => ({ entry, lacks: missing(entry, callerSelectors) }))
    .sort((a, b) => a.lacks.length - b.lacks.length)[0];
  if (nearest === undefined) return { reason: 'no-entry', detail: `no entry gives ${spiffeId}` };
  const { entry, lacks } = nearest;
  if (lacks.length > 0) {
    const list = lacks.map(redactSelector).join(', ');
    return { reason: 'lacks-selectors', detail: `entry ${entry.id} gives ${spiffeId} to callers with ${list}` };
  }
  if (isExpired(entry, now)) {
    return { reason: 'expired', detail: `entry ${entry.id} expired at ${new Date(entry.expiresAt).toISOString()}` };
  }
  return { reason: 'no-entry', detail: `no entry gives ${spiffeId} to this caller yet` };
}
