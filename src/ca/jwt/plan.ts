/**
 * The state machine of the JWT keys: a pure function from the stored states and the present time to the next states. It
 * makes no keys: if it needs one, the caller makes and stores it as prepared, and plans again.
 *
 * A key is published for a third of its life, signs for a third, and stays in the bundle for a third, for its tokens.
 * Invariants: one key signs; the next one is published already; no key signs that was published for less than
 * `publishBefore`, unless nothing else can sign; a key stays until its tokens have ended, unless it is tainted.
 */

import { TOKEN_LEEWAY_MS } from '../../base/index.ts';
import { compareText } from '../../spiffe/index.ts';
import { activate, moved, type Slot, type SlotState } from '../slot.ts';
import type { JwtKey } from './jwt-key.ts';

export type JwtSlot = Slot<JwtKey>;

/** In milliseconds. */
export interface JwtKeyTerms {
  /** How long a new key lives. */
  readonly life: number;
  /** How long a key is published before it signs, for consumers that cache the keys. */
  readonly publishBefore: number;
  /** See `publishAhead` in `../rotation.ts`. */
  readonly publishAhead?: number;
}

export interface JwtSituation {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** When this process started; by default before everything. */
  readonly startedAt?: number;
  readonly terms: Pick<JwtKeyTerms, 'publishBefore' | 'publishAhead'>;
  /** The ID of the signing key that an operator asked to be replaced. */
  readonly replace: string | undefined;
}

export interface JwtPlan {
  /** Oldest first, and always in the same order. */
  readonly slots: readonly JwtSlot[];
  /** The keys to delete. */
  readonly gone: readonly JwtSlot[];
  readonly active: JwtSlot;
  readonly next: JwtSlot;
  /** When the next key is to sign, in milliseconds since the epoch. */
  readonly nextSignsAt: number;
  /** When others have fetched the bundle with the next key, or wait no longer; undefined if nobody fetches it. */
  readonly nextFetchedAt: number | undefined;
  /** True if the active key was published for less than `publishBefore`, since nothing else could sign. */
  readonly isUrgent: boolean;
  /** When to plan again. */
  readonly lookAt: number;
}

/** The next states, or `'key'` if a key is needed. Tainted keys are not among the slots. */
export function planJwtKeys(stored: readonly JwtSlot[], situation: JwtSituation): JwtPlan | 'key' {
  const { now } = situation;
  const kept = stored.filter(({ authority }) => now < removedAt(authority));
  const before = kept.find((slot) => slot.state === 'active' && canSign(slot, now));
  const first = before ?? chooseInPlace(kept, now);
  if (first === undefined) return 'key';
  const waiting = nextOf(kept, first, now);
  const active = waiting !== undefined && now >= signsAt(waiting, first, situation) ? waiting : first;
  const next = active === waiting ? nextOf(kept, active, now) : waiting;
  if (next === undefined) return 'key';
  const slots = activate(kept, active, now)
    .map((slot) => (slot.authority === next.authority ? moved(slot, 'published', now) : slot))
    .filter(({ authority, state }) => isNeeded(state) || authority === next.authority)
    .sort(byAge);
  const find = ({ authority }: JwtSlot) => slots.find((slot) => slot.authority === authority)!;
  const nextSignsAt = signsAt(find(next), find(active), situation);
  const instants = [
    ...slots.map(({ authority }) => removedAt(authority)),
    ...[active.authority.notAfter, lastThirdOf(next.authority), nextSignsAt],
  ];
  return {
    slots,
    gone: stored.filter(({ authority }) => !slots.some((slot) => slot.authority === authority)),
    active: find(active),
    next: find(next),
    nextSignsAt,
    nextFetchedAt: fetchedAt(find(next), find(active), situation),
    isUrgent: active !== before && active !== waiting,
    lookAt: Math.min(...instants.filter((instant) => instant > now)),
  };
}

/** A published or prepared key that is not the next one never signed, so no token needs it. */
function isNeeded(state: SlotState): boolean {
  return state === 'active' || state === 'retired';
}

function byAge({ authority: a }: JwtSlot, { authority: b }: JwtSlot): number {
  return a.notBefore - b.notBefore || compareText(a.id, b.id);
}

/** When its last token has ended for all validators. */
function removedAt({ notAfter }: JwtKey): number {
  return notAfter + TOKEN_LEEWAY_MS;
}

function canSign({ authority, state }: JwtSlot, now: number): boolean {
  return state !== 'tainted' && now < authority.notAfter;
}

/**
 * The key that signs in place of the active one, which is missing, has ended or was tainted: the one that was published
 * first, since most consumers have it; else one that has signed before; else a new one.
 */
function chooseInPlace(slots: readonly JwtSlot[], now: number): JwtSlot | undefined {
  const usable = slots.filter((slot) => canSign(slot, now));
  const bySince = (a: JwtSlot, b: JwtSlot) => a.since - b.since;
  const byEnd = (a: JwtSlot, b: JwtSlot) => b.authority.notAfter - a.authority.notAfter;
  const of = (state: SlotState) => usable.filter((slot) => slot.state === state);
  return of('published').sort(bySince)[0] ?? of('retired').sort(byEnd)[0] ?? of('prepared').sort(byEnd)[0];
}

/** The published key that is to sign next, else a prepared one. A key in its last third would have to be replaced at once. */
function nextOf(slots: readonly JwtSlot[], active: JwtSlot, now: number): JwtSlot | undefined {
  const fresh = slots.filter((slot) => {
    const isNew = slot.state === 'published' || slot.state === 'prepared';
    return isNew && slot.authority !== active.authority && now < lastThirdOf(slot.authority);
  });
  return fresh.find(({ state }) => state === 'published') ?? fresh[0];
}

/** When the next key is to sign: when the active one is due to be replaced and the next one was published for long enough. */
function signsAt(next: JwtSlot, active: JwtSlot, situation: JwtSituation): number {
  const { now, terms, replace } = situation;
  const since = sinceOf(next, now);
  // A new key is not used in the same move as it is published.
  const published =
    next.state === 'prepared' ? Math.max(since + terms.publishBefore, now + 1) : since + terms.publishBefore;
  const fetched = fetchedAt(next, active, situation) ?? 0;
  return Math.max(published, fetched, replace === active.authority.id ? 0 : dueAt(active));
}

function sinceOf({ state, since }: JwtSlot, now: number): number {
  return state === 'prepared' ? now : since;
}

/**
 * When others have fetched the bundle with the next key. It waits for them at most until half of the active key's last
 * third is over, since tokens end with their key.
 */
function fetchedAt(next: JwtSlot, { authority }: JwtSlot, situation: JwtSituation): number | undefined {
  const { now, terms, startedAt = 0 } = situation;
  const { publishAhead = 0 } = terms;
  if (publishAhead === 0) return undefined;
  const last = authority.notAfter - Math.floor(thirdOf(authority) / 2);
  return Math.min(Math.max(sinceOf(next, now), startedAt) + publishAhead, last);
}

/** When to replace the key that signs: a third of a life after it began to sign, or when its last third begins. */
function dueAt({ authority, state, since }: JwtSlot): number {
  const end = lastThirdOf(authority);
  return state === 'active' ? Math.min(since + thirdOf(authority), end) : end;
}

function lastThirdOf(key: JwtKey): number {
  return key.notAfter - thirdOf(key);
}

function thirdOf({ notBefore, notAfter }: JwtKey): number {
  return Math.floor((notAfter - notBefore) / 3);
}
