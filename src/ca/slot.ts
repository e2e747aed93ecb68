/** The place of one authority in the life of the trust domain. */

import { isValidAt } from '../base/index.ts';
import type { Authority } from './authority.ts';

/**
 * * `prepared`: its key is stored; it is not trusted yet.
 * * `published`: a root that is in the bundle and under which nothing is signed yet.
 * * `active`: it signs. One root and one intermediate are active.
 * * `retired`: it signs nothing. A root stays in the bundle while something under it is valid.
 * * `tainted`: it signs nothing, since its key may have leaked. A root stays in the bundle until the SVIDs under
 * it
 *   have been replaced, for a few seconds at most.
 */
export const SLOT_STATES = ['prepared', 'published', 'active', 'retired', 'tainted'] as const;
export type SlotState = (typeof SLOT_STATES)[number];

/** With that of carried roots, which have no place in this life. */
export const AUTHORITY_STATES = [...SLOT_STATES, 'carried'] as const;

type Life = Pick<Authority, 'notBefore' | 'notAfter'>;

/** @typeParam A the authority: with a certificate, or a JWT key */
export interface Slot<A extends Life = Authority> {
  readonly authority: A;
  readonly state: SlotState;
  /** When it came into this state, in milliseconds since the epoch. */
  readonly since: number;
}

/** True if the root belongs into the bundle: it was published and has not ended. `now`: milliseconds since the epoch */
export function isTrusted({ authority, state }: Slot, now: number): boolean {
  return state !== 'prepared' && now < authority.notAfter;
}

/** True if SVIDs may be signed under it. */
export function isUsable({ authority, state }: Slot, now: number): boolean {
  return state !== 'tainted' && isValidAt(authority, now);
}

/** In this order: an authority that never signed comes last, since proxies may not trust it yet. */
const CHOICE: readonly SlotState[] = ['active', 'retired', 'published', 'prepared'];

/**
 * The slot that should be active, of those that are usable and fit: the active one; else the first by {@link CHOICE},
 * and of these the one that expires last. Undefined if there is none.
 */
export function choose(
  slots: readonly Slot[],
  now: number,
  isFit: (slot: Slot) => boolean = () => true,
): Slot | undefined {
  const fit = slots.filter((slot) => isUsable(slot, now) && isFit(slot));
  return fit.toSorted(
    (a, b) => CHOICE.indexOf(a.state) - CHOICE.indexOf(b.state) || b.authority.notAfter - a.authority.notAfter,
  )[0];
}

/** Makes this slot active and retires the one that was active. Without a chosen slot, nothing changes. */
export function activate<S extends Slot<Life>>(slots: readonly S[], chosen: S | undefined, now: number): S[] {
  if (chosen === undefined) return [...slots];
  return slots.map((slot) => {
    if (slot.authority === chosen.authority) return moved(slot, 'active', now);
    return slot.state === 'active' ? moved(slot, 'retired', now) : slot;
  });
}

/** The slot in this state; unchanged if it is in it already. */
export function moved<S extends Slot<Life>>(slot: S, state: SlotState, now: number): S {
  return slot.state === state ? slot : { ...slot, state, since: now };
}

/** The stored form of slots, by the IDs of their authorities. */
export type StoredSlots = Readonly<Record<string, Omit<Slot, 'authority'>>>;

export function areStoredSlots(value: object): boolean {
  return Object.values(value).every(({ state, since }) => SLOT_STATES.includes(state) && Number.isSafeInteger(since));
}
