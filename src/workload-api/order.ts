/** The order of a caller's identities, and their hints. @see SPIFFE Workload API, section 8 */

import { defaultEntry, type Grant } from '../identity/index.ts';

/** The default identity first, the others from the oldest entry to the newest. */
export function inOrder(entries: readonly Grant[]): Grant[] {
  const first = defaultEntry(entries);
  return first === undefined ? [] : [first, ...entries.filter((entry) => entry !== first)];
}

/** Each with its hint, which is unique in a message, so that a client finds one by it: the first one keeps it. */
export function hinted<T extends { readonly entry: Grant }>(found: readonly T[]): (T & { readonly hint: string })[] {
  const hints = new Set<string>();
  return found.map((one) => {
    const { hint } = one.entry;
    const isNew = !hints.has(hint);
    hints.add(hint);
    return { ...one, hint: isNew ? hint : '' };
  });
}
