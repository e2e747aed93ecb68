/** Functions on selectors that both the catalog and the descriptions in it use. */

import type { Selector } from '../spiffe/index.ts';
import type { SelectorKind } from './description.ts';

/** The first selector of each of these kinds, in the order of `kinds`; kinds without a selector are left out. */
export function ofKinds(selectors: readonly Selector[], type: string, ...kinds: readonly string[]): Selector[] {
  return kinds.flatMap((kind) => selectors.find((one) => one.type === type && one.value.startsWith(`${kind}:`)) ?? []);
}

/**
 * The index in a selector's value of the character that ends its name: of a label or variable, the end of
 * `<kind>:<name>`; of other kinds, the end of `<kind>`. -1 if there is no such character.
 */
export function endOfName(value: string, { nameEnd }: SelectorKind): number {
  const colon = value.indexOf(':');
  return nameEnd === undefined ? colon : value.indexOf(nameEnd, colon + 1);
}
