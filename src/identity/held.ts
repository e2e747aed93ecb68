/** Why a caller does not get a name now. Names are held, not refused: the reason is on record until it ends. */

import { redactSelector } from '../attest/selector-kinds.ts';
import { isForContained } from '../registry/contained.ts';
import type { Candidate } from '../registry/decision.ts';
import { isExpired } from '../registry/entry.ts';
import { missing } from '../registry/match.ts';
import type { Entry } from '../registry/types.ts';
import { type SpiffeId, type TrustDomain, trustDomainOf } from '../spiffe/id.ts';

export type HeldReason =
  /** No entry gives this SPIFFE ID to anybody. */
  | 'no-entry'
  /** An entry gives it, but to somebody who has selectors that this caller lacks. */
  | 'lacks-selectors'
  /** An entry gives it to callers with these selectors, but the caller is in a container and the entry is not for those. */
  | 'contained'
  /** The entry that gives it has expired. */
  | 'expired'
  /** The caller matches no entry, and bundles are for callers that do. */
  | 'no-identity'
  /** No entry of this caller federates with the trust domain whose bundle it asks for. */
  | 'not-federated'
  /** An entry of this caller federates with the trust domain, whose bundle nobody has set yet. */
  | 'no-bundle'
  /** The name is not a SPIFFE ID, a reserved name or an alias. */
  | 'unknown-name'
  /** It is a SPIFFE ID of another trust domain, which this server can't issue. */
  | 'foreign-id'
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

/** What the explanation of a held name depends on. */
export interface HeldCaller {
  readonly selectors: ReadonlySet<string>;
  /** Why it counts as contained; undefined where it does not. */
  readonly contained: string | undefined;
}

/**
 * Explains why none of the `candidates`, the entries that give this ID, gives it to this caller.
 * @param own the trust domain of the server
 */
export function explainHeld(
  spiffeId: SpiffeId,
  candidates: readonly Entry[],
  { selectors: callerSelectors, contained }: HeldCaller,
  own: TrustDomain,
  now: number,
): Held {
  if (trustDomainOf(spiffeId) !== own) {
    const detail = `no secret of this name can come: ${spiffeId} is of another trust domain, and this server issues for ${own} only`;
    return { reason: 'foreign-id', detail };
  }
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
  const matching = ranked.filter((one) => one.lacks.length === 0 && !isExpired(one.entry, now));
  const [alive] = matching;
  const withheld = new Set(matching.map((one) => one.entry.id));
  if (alive !== undefined && contained !== undefined && !isForContained(alive.entry)) {
    const candidates = told.filter(({ entryId, lacks }) => lacks.length > 0 || withheld.has(entryId));
    return { ...heldAsContained(alive.entry, contained), candidates };
  }
  if (isExpired(entry, now)) {
    const detail = `entry ${entry.id} expired at ${new Date(entry.expiresAt).toISOString()}`;
    return { reason: 'expired', detail, candidates: told };
  }
  return { reason: 'no-entry', detail: `no entry gives ${spiffeId} to this caller yet` };
}

/** Why a caller in a container does not have an entry whose selectors it has. @param contained why it counts as contained */
export function heldAsContained(entry: Entry, contained: string): Held {
  const detail = `entry ${entry.id} gives ${entry.spiffeId} to such callers outside of containers, and this one is in a container (${contained}); an entry for those has a container selector (docker:…) or allow_contained`;
  return { reason: 'contained', detail, candidates: [{ entryId: entry.id, lacks: [] }] };
}

const OF_FACTS: readonly HeldReason[] = [
  'no-entry',
  'lacks-selectors',
  'contained',
  'expired',
  'no-identity',
  'not-federated',
  'facts-missing',
];

/** True if other facts of the caller could end the hold. */
export function dependsOnFacts({ reason }: Held): boolean {
  return OF_FACTS.includes(reason);
}

/** False if no entry and no bundle can give the name a secret. */
export function canCome({ reason }: Held): boolean {
  return reason !== 'unknown-name' && reason !== 'foreign-id';
}

/** True if the name is still the caller's: nothing of it is gone, and the client is not told so. */
export function isStillGiven({ reason }: Held): boolean {
  return reason === 'issuance-failed' || reason === 'facts-missing';
}
