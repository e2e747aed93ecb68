/**
 * Which of its selectors a caller is given. Of some kinds a caller has as many, and as long ones, as it likes: it has what
 * entries ask for exactly, and the rest goes no further than the attestor.
 */

import { formatSelector, type Selector } from '../spiffe/selector.ts';

/** What entries ask for, as the registry knows it. */
export interface AskedSelectors {
  /** True if some entry asks for a label or variable of this name, whatever its value: `docker:label:app`. */
  asksFor(kind: string): boolean;
  /** How many entries that count now have this selector, as `type:value`. */
  askers(selector: string): number;
  /** Rises whenever a selector is asked for that was not, or is not any more. */
  readonly askedRevision: number;
}

/** True of the kinds of selectors that are kept only while an entry asks for exactly that one. */
export function isKeptIfAsked({ type, value }: Selector): boolean {
  if (type === 'docker') return true;
  return type === 'unix' && (value.startsWith('supplementary_gid:') || value.startsWith('supplementary_group:'));
}

/** True of a selector that a caller is given. */
export function isKept(selector: Selector, asked: Pick<AskedSelectors, 'askers'>): boolean {
  return !isKeptIfAsked(selector) || asked.askers(formatSelector(selector)) > 0;
}
