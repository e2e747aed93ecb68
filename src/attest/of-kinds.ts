/** What attestors' descriptions and the catalog find in selectors. */

import type { Selector } from '../spiffe/selector.ts';
import type { SelectorKind } from './description.ts';

/** The first selector of each of these kinds, in their order; kinds that a caller has none of are left out. */
export function ofKinds(selectors: readonly Selector[], type: string, ...kinds: readonly string[]): Selector[] {
  return kinds.flatMap((kind) => selectors.find((one) => one.type === type && one.value.startsWith(`${kind}:`)) ?? []);
}

/**
 * Where a selector's value, `<kind>:<name>…`, ends its name: of a label or variable behind the name, else behind the kind; -1
 * if it does not.
 */
export function endOfName(value: string, { nameEnd }: SelectorKind): number {
  const colon = value.indexOf(':');
  return nameEnd === undefined ? colon : value.indexOf(nameEnd, colon + 1);
}
