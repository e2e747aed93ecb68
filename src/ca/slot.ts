/** The place of one authority in the life of the trust domain. */

import { isValidAt } from '../base/validity.ts';
import type { Authority } from './authority.ts';

/**
 * * `prepared`: its key is stored; nobody trusts it yet.
 * * `published`: a root that is in the bundle, but does not sign yet.
 * * `active`: it signs. One root and one intermediate are active.
 * * `retired`: it signs nothing. A root stays in the bundle, since SVIDs under it may be valid.
 */
export const SLOT_STATES = ['prepared', 'published', 'active', 'retired'] as const;
export type SlotState = (typeof SLOT_STATES)[number];

export interface Slot {
  readonly authority: Authority;
  readonly state: SlotState;
}

/** True if the root belongs into the bundle: it was published and has not ended. `now`: milliseconds since the epoch */
export function isTrusted({ authority, state }: Slot, now: number): boolean {
  return state !== 'prepared' && now < authority.notAfter;
}

/** In this order: what never signed comes last, since callers may not trust it yet. */
const CHOICE: readonly (readonly SlotState[])[] = [['active', 'retired'], ['published'], ['prepared']];

/** The slot that should be active: of those that are valid and fit the one that ends last; undefined if there is none. */
export function choose(
  slots: readonly Slot[],
  now: number,
  isFit: (slot: Slot) => boolean = () => true,
): Slot | undefined {
  const fit = slots.filter((slot) => isValidAt(slot.authority, now) && isFit(slot));
  const byState = CHOICE.map((states) => latest(fit.filter(({ state }) => states.includes(state))));
  return byState.find((slot) => slot !== undefined);
}

/** The slots with one of them active, and the one that was active retired. */
export function activate(slots: readonly Slot[], chosen: Slot): Slot[] {
  return slots.map((slot) => {
    if (slot === chosen) return { ...slot, state: 'active' };
    return slot.state === 'active' ? { ...slot, state: 'retired' } : slot;
  });
}

function latest(slots: readonly Slot[]): Slot | undefined {
  return slots.toSorted((a, b) => b.authority.notAfter - a.authority.notAfter)[0];
}
