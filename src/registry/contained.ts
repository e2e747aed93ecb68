/**
 * Which entries callers in containers may have. Root of a container chooses its uid and the path of its program there, so
 * facts of `unix` tell its processes from nobody; what the container engine says of the container does.
 */

import { isOfContainer } from '../attest/selector-kinds.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Entry } from './types.ts';

/** True if the entry asks for a fact about the container, or says itself that callers in any container may have it. */
export function isForContained({ selectors, allowContained }: Pick<Entry, 'selectors' | 'allowContained'>): boolean {
  return allowContained || tellsContainers(selectors);
}

/** True if one of the selectors is a fact about the container. */
export function tellsContainers(selectors: readonly Selector[]): boolean {
  return selectors.some(isOfContainer);
}
