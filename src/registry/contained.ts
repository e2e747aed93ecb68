/**
 * Decides which entries callers in containers may have. Root in a container chooses its uid and the path of its
 * program, so `unix` facts do not identify its processes. Facts from the container engine do.
 */

import { isOfContainer } from '../attest/index.ts';
import { isNegated, type Selector } from '../spiffe/index.ts';
import type { Entry } from './types.ts';

/** True if the entry has a selector about the container, or allows callers in any container. */
export function isForContained({ selectors, allowContained }: Pick<Entry, 'selectors' | 'allowContained'>): boolean {
  return allowContained || tellsContainers(selectors);
}

/** True if one of the selectors is a fact of the container. That it lacks a fact distinguishes few containers. */
function tellsContainers(selectors: readonly Selector[]): boolean {
  return selectors.some((selector) => isOfContainer(selector) && !isNegated(selector));
}
