/** Which authorities a taint affects. */

import { type Authority, isUnder } from './authority.ts';
import type { Slots } from './plan.ts';
import { moved, type Slot } from './slot.ts';

/**
 * The IDs of the authorities that are tainted with this one: an own intermediate's root, since peers refuse what the
 * intermediate signed only when they do not trust its root; and all intermediates under a root. An upstream's root is
 * not tainted with an intermediate.
 */
export function taintedWith(authority: Authority, { roots, intermediates }: Slots): Set<string> {
  const ids = new Set([authority.id]);
  for (const { authority: root } of roots) {
    const isOwnAbove = root.privateKey !== undefined && authority.role === 'intermediate' && isUnder(authority, root);
    if (root !== authority && !isOwnAbove) continue;
    ids.add(root.id);
    for (const { authority: below } of intermediates) if (isUnder(below, root)) ids.add(below.id);
  }
  return ids;
}

/** True if an intermediate is left that is neither one of these nor under one of them. */
export function hasOther(ids: ReadonlySet<string>, { roots, intermediates }: Slots): boolean {
  const taintedRoots = roots.filter(({ authority }) => ids.has(authority.id));
  return intermediates.some(({ authority, state }) => {
    return (
      state === 'prepared' && !ids.has(authority.id) && !taintedRoots.some((root) => isUnder(authority, root.authority))
    );
  });
}

/** Marks the slots with these IDs as tainted. Drops a prepared root among them, since it never was in a bundle. */
export function markTainted(slots: Slots, ids: ReadonlySet<string>, now: number): Slots {
  if (ids.size === 0) return slots;
  const mark = (slot: Slot) => (ids.has(slot.authority.id) ? moved(slot, 'tainted', now) : slot);
  return {
    roots: slots.roots.filter((slot) => slot.state !== 'prepared' || !ids.has(slot.authority.id)).map(mark),
    intermediates: slots.intermediates.map(mark),
  };
}

/** The tainted intermediates that may have signed SVIDs which are still in use. */
export function taintedSigners({ intermediates }: Slots): Set<string> {
  return new Set(intermediates.filter(({ state }) => state === 'tainted').map(({ authority }) => authority.id));
}
