import type { Selector } from '../spiffe/selector.ts';

/** The first selector of each of these kinds, in their order; kinds that a caller has none of are left out. */
export function ofKinds(selectors: readonly Selector[], type: string, ...kinds: readonly string[]): Selector[] {
  return kinds.flatMap((kind) => selectors.find((one) => one.type === type && one.value.startsWith(`${kind}:`)) ?? []);
}
