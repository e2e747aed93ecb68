/**
 * Reasons why a caller does not get a name now. The request is held, not refused, and the reason is recorded until the
 * hold ends.
 */

import { redactSelector } from '../attest/index.ts';
import { type Candidate, type Entry, isExpired, isForContained, missing } from '../registry/index.ts';
import {
  formatSelector,
  isNegated,
  opposite,
  type Selector,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from '../spiffe/index.ts';
import { type Grant, isGrant } from './grant.ts';
import type { Unrendered } from './renderings.ts';

export const HELD_REASONS = [
  /** No entry gives this SPIFFE ID. */
  'no-entry',
  /** An entry gives it, but this caller lacks some of its selectors. */
  'lacks-selectors',
  /** An entry gives it and its selectors match, but the caller is in a container and the entry is not for those. */
  'contained',
  /** The selectors of an entry with a template match, but the template does not give this caller this SPIFFE ID. */
  'not-rendered',
  /** The entry that gives it has expired. */
  'expired',
  /** The caller matches no entry, which is required for bundles. */
  'no-identity',
  /** No entry of this caller federates with the trust domain of the bundle. */
  'not-federated',
  /** An entry of this caller federates with the trust domain, but its bundle is not set. */
  'no-bundle',
  /** The name is not a SPIFFE ID, a reserved name or an alias. */
  'unknown-name',
  /** A SPIFFE ID of another trust domain, for which this server cannot issue. */
  'foreign-id',
  /**
   * The latest attestation found fewer facts, or was before an entry's template had a placeholder. The caller keeps its
   * SVID until that ends, and is attested again.
   */
  'facts-missing',
  /** The authority or the store failed; it is retried. */
  'issuance-failed',
] as const;

export type HeldReason = (typeof HELD_REASONS)[number];

export interface Held {
  readonly reason: HeldReason;
  /** One line for display, without environment values. */
  readonly detail: string;
  /** Some entries that give or gave it to other callers, nearest first. */
  readonly candidates?: readonly Candidate[];
}

/** Maximum number of entries in a record, with the selectors that the caller lacks; `explain` lists all. */
const CANDIDATES = 5;

/** The caller's properties that the explanation depends on. */
export interface HeldCaller {
  readonly selectors: ReadonlySet<string>;
  /** Why the caller counts as in a container; undefined if it does not. */
  readonly contained: string | undefined;
  /** The entries that it has. */
  readonly entries: readonly Grant[];
  readonly unrendered: readonly Unrendered[];
}

/**
 * Explains why none of the `candidates`, the entries that give this ID or whose templates could render it, gives it to
 * this caller.
 * @param own the server's trust domain
 */
export function explainHeld(
  spiffeId: SpiffeId,
  candidates: readonly Entry[],
  caller: HeldCaller,
  own: TrustDomain,
  now: number,
): Held {
  const { selectors: callerSelectors, contained } = caller;
  if (trustDomainOf(spiffeId) !== own) {
    const detail = `there can be no secret of this name: ${spiffeId} is of another trust domain, and this server issues for ${own} only`;
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
    const gives = isGrant(entry) ? `gives ${spiffeId}` : `gives ${entry.spiffeId}`;
    const detail = `entry ${entry.id} ${gives} to callers ${describeNeeds(lacks, callerSelectors)}`;
    return { reason: 'lacks-selectors', detail, candidates: told };
  }
  const matching = ranked.filter((one) => one.lacks.length === 0 && !isExpired(one.entry, now));
  const [alive] = matching;
  const withheld = new Set(matching.map((one) => one.entry.id));
  if (alive !== undefined && contained !== undefined && !isForContained(alive.entry)) {
    const candidates = told.filter(({ entryId, lacks }) => lacks.length > 0 || withheld.has(entryId));
    return { ...heldAsContained(alive.entry, contained), candidates };
  }
  const template = matching.find((one) => !isGrant(one.entry))?.entry;
  if (template !== undefined) {
    const failed = caller.unrendered.find((one) => one.entry === template);
    const detail = failed === undefined ? renderedAs(template, spiffeId, caller) : describeUnrendered(failed);
    return { reason: failed?.isUnread ? 'facts-missing' : 'not-rendered', detail, candidates: told };
  }
  if (isExpired(entry, now)) {
    const detail = `entry ${entry.id} expired at ${new Date(entry.expiresAt).toISOString()}`;
    return { reason: 'expired', detail, candidates: told };
  }
  return { reason: 'no-entry', detail: `no entry gives ${spiffeId} to this caller yet` };
}

/** `with unix:uid:1, without docker:label:tier:canary (which this caller has)` */
function describeNeeds(lacks: readonly Selector[], has: ReadonlySet<string>): string {
  const facts = lacks.filter((selector) => !isNegated(selector)).map(redactSelector);
  const excluded = lacks.filter(isNegated).map(opposite);
  const without = excluded.map((selector) => {
    const what = has.has(formatSelector(selector)) ? 'which this caller has' : 'not known of this caller';
    return `${redactSelector(selector)} (${what})`;
  });
  return [
    ...(facts.length === 0 ? [] : [`with ${facts.join(', ')}`]),
    ...(without.length === 0 ? [] : [`without ${without.join(', ')}`]),
  ].join(', ');
}

/** What a template gives the caller instead of this SPIFFE ID. */
function renderedAs(template: Entry, spiffeId: SpiffeId, { entries }: HeldCaller): string {
  const given = entries.find(({ rendered }) => rendered?.entry === template);
  const instead = given === undefined ? 'nothing' : given.spiffeId;
  return `entry ${template.id} renders ${template.spiffeId} as ${instead} for this caller, not as ${spiffeId}`;
}

function describeUnrendered({ entry, why }: Unrendered): string {
  return `entry ${entry.id} matches this caller, but its template ${entry.spiffeId} is not rendered: ${why}`;
}

/** Why a caller without any entry gets nothing, if selectors of entries match it; else undefined. */
export function whyNothing({ withheld: [withheld], unrendered, contained }: CallerWithout): Held | undefined {
  const unread = unrendered.find(({ isUnread }) => isUnread);
  // The next attestation may find an identity, so it goes before reasons that say that there is none.
  if (unread === undefined && withheld !== undefined) return heldAsContained(withheld, contained!);
  const told = unread ?? unrendered[0];
  if (told === undefined) return undefined;
  const candidates = [{ entryId: told.entry.id, lacks: [] }];
  return {
    reason: unread === undefined ? 'not-rendered' : 'facts-missing',
    detail: describeUnrendered(told),
    candidates,
  };
}

/**
 * Explains why a caller in a container does not get an entry although its selectors match.
 * @param contained why the caller counts as in a container
 */
function heldAsContained(entry: Entry, contained: string): Held {
  const detail = `entry ${entry.id} gives ${entry.spiffeId} to callers with these selectors outside of containers, but this one is in a container (${contained}); an entry for containers needs a container selector (docker:…) or allow_contained`;
  return { reason: 'contained', detail, candidates: [{ entryId: entry.id, lacks: [] }] };
}

/** Why a caller without any entry gets nothing. */
export function nothingFor(caller: CallerWithout): Held {
  return whyNothing(caller) ?? { reason: 'no-identity', detail: 'no entry matches this caller' };
}

interface CallerWithout extends Pick<HeldCaller, 'contained' | 'unrendered'> {
  /** Entries whose selectors match, but which the caller does not get because it is in a container. */
  readonly withheld: readonly Entry[];
}

const OF_FACTS: readonly HeldReason[] = [
  'no-entry',
  'lacks-selectors',
  'contained',
  'not-rendered',
  'expired',
  'no-identity',
  'not-federated',
  'facts-missing',
];

/** True if a change of the caller's facts could end the hold. */
export function dependsOnFacts({ reason }: Held): boolean {
  return OF_FACTS.includes(reason);
}

/** False if no entry and no bundle can ever provide this name. */
export function canCome({ reason }: Held): boolean {
  return reason !== 'unknown-name' && reason !== 'foreign-id';
}

/** True if the client keeps the secret of the held name, so no removal is sent. */
export function isStillGiven({ reason }: Held): boolean {
  return reason === 'issuance-failed' || reason === 'facts-missing';
}
