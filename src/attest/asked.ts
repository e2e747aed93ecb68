/**
 * Which of its selectors a caller is given. Of some kinds a caller has as many, and as long ones, as it likes: it has what
 * entries ask for exactly, and the rest goes no further than the attestor.
 */

import { formatSelector, type Selector } from '../spiffe/selector.ts';
import type { AskedSelectors } from './types.ts';

/** True if some entry asks for exactly this selector. */
export function isAskedFor(selector: Selector, asked: Pick<AskedSelectors, 'askers'>): boolean {
  return asked.askers(formatSelector(selector)) > 0;
}
