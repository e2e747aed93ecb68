/** The states that are stored of a plan. */

import { isDeepStrictEqual } from 'node:util';
import type { Authority } from './authority.ts';
import type { AuthorityState, GoneAuthority } from './key-store.ts';
import type { Plan } from './plan.ts';

/**
 * The states after a plan, and the sequence number of the bundle, which grows when the roots in it change. The number is
 * at least the time in seconds, so that it grows even after an older copy of the states was restored.
 * @param trusted the bundle's roots
 * @param tainting the IDs of the authorities that were declared tainted since the last plan
 */
export function statesAfter(
  before: AuthorityState,
  { roots, intermediates, gone: removed }: Plan,
  trusted: readonly Authority[],
  tainting: ReadonlySet<string>,
  now: number,
): Omit<AuthorityState, 'revision' | 'moves'> {
  const rootIds = trusted.map(({ id }) => id).sort();
  const slots = Object.fromEntries(
    [...roots, ...intermediates].map(({ authority, state, since }) => [authority.id, { state, since }]),
  );
  const isSame = isDeepStrictEqual(rootIds, before.rootIds);
  const sequenceNumber = isSame ? before.sequenceNumber : Math.max(before.sequenceNumber + 1, Math.floor(now / 1000));
  const gone: Record<string, GoneAuthority> = {};
  for (const [id, one] of Object.entries(before.gone)) if (now < one.notAfter && !(id in slots)) gone[id] = one;
  for (const { authority, state } of removed) {
    const tainted = state === 'tainted' || tainting.has(authority.id);
    if (now < authority.notAfter) gone[authority.id] = { notAfter: authority.notAfter, tainted };
  }
  return { sequenceNumber, rootIds, slots, gone };
}
