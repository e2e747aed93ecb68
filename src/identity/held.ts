/** Why a caller does not get a name now. Names are held, not refused: the reason is on record until it ends. */

import type { Candidate } from '../registry/decision.ts';
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
  /** The caller's facts lack something since a moment ago; it keeps its SVID until that ends, and is attested again. */
  | 'facts-missing'
  /** The authority or the store failed; it is tried again. */
  | 'issuance-failed';

export interface Held {
  readonly reason: HeldReason;
  /** One line for people; it shows no environment value. */
  readonly detail: string;
  /** The entries that give it to others, or gave it, the nearest first; a few at most. */
  readonly candidates?: readonly Candidate[];
}

/** A record says of so many entries what a caller lacks; `explain` says it of all. */
const CANDIDATES = 5;

/** Explains why none of the `candidates`, the entries that give this ID, gives it to a caller with these selectors. */
export function explainHeld(
  spiffeId: SpiffeId,
  candidates: readonly Entry[],
  callerSelectors: ReadonlySet<string>,
  now: number,
): Held {
  const ranked = candidates
    .map((entry) => ({ entry, lacks: missing(entry, callerSelectors) }))
    .sort((a, b) => a.lacks.length - b.lacks.length);
  const nearest = ranked[0];
  if (nearest === undefined) return { reason: 'no-entry', detail: `no entry gives ${spiffeId}` };
  const told = ranked.slice(0, CANDIDATES).map((one) => ({
    entryId: one.entry.id,
    lacks: one.lacks.map(redactSelector),
  }));
  const { entry, lacks } = nearest;
  if (lacks.length > 0) {
    const list = lacks.map(redactSelector).join(', ');
    const detail = `entry ${entry.id} gives ${spiffeId} to callers with ${list}`;
    return { reason: 'lacks-selectors', detail, candidates: told };
  }
  if (isExpired(entry, now)) {
    const detail = `entry ${entry.id} expired at ${new Date(entry.expiresAt).toISOString()}`;
    return { reason: 'expired', detail, candidates: told };
  }
  return { reason: 'no-entry', detail: `no entry gives ${spiffeId} to this caller yet` };
}

const OF_FACTS: readonly HeldReason[] = [
  'no-entry',
  'lacks-selectors',
  'expired',
  'no-identity',
  'not-federated',
  'facts-missing',
];

/** True if other facts of the caller could end the hold. */
export function dependsOnFacts({ reason }: Held): boolean {
  return OF_FACTS.includes(reason);
}

/** True if the name is still the caller's: nothing of it is gone, and the client is not told so. */
export function isStillGiven({ reason }: Held): boolean {
  return reason === 'issuance-failed' || reason === 'facts-missing';
}
