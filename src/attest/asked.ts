/**
 * Filters a caller's selectors. A caller can have any number of selectors of some kinds, so only those that an entry
 * asks for exactly are kept; the others do not leave the attestor.
 */

import { formatSelector, type Selector } from '../spiffe/index.ts';
import type { AskedSelectors } from './types.ts';

/** True if an entry asks for exactly this selector. */
export function isAskedFor(selector: Selector, asked: Pick<AskedSelectors, 'askers'>): boolean {
  return asked.askers(formatSelector(selector)) > 0;
}
