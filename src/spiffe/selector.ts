/**
 * Selectors: facts that an attestor provides about a caller and that an entry requires.
 *
 * @see SPIRE's `type:value` form, split at the first colon: values may have colons, types may not.
 */

export interface Selector {
  /** The attestor's name: `unix`, `docker`. No colon. */
  readonly type: string;
  /** The fact, compared byte for byte: `uid:1000`, `label:app:web`. */
  readonly value: string;
  /**
   * Set for a negative selector, `!type:value`: the caller is known not to have the fact. It does not match a caller for
   * which the fact could not be read.
   */
  readonly negated?: true;
}

/** The character before a negative selector. */
const NOT = '!';

/** `type:value`, or `!type:value`; equal exactly if the selectors are equal. */
export function formatSelector(selector: Selector): string {
  const text = `${selector.type}:${selector.value}`;
  return selector.negated === true ? NOT + text : text;
}

/** Splits `type:value` or `!type:value` at the first colon; undefined if there is none or a side is empty. */
export function splitSelector(text: string): Selector | undefined {
  const negated = text.startsWith(NOT);
  const start = negated ? NOT.length : 0;
  const colon = text.indexOf(':');
  if (colon <= start || colon === text.length - 1) return undefined;
  const selector = { type: text.slice(start, colon), value: text.slice(colon + 1) };
  return negated ? { ...selector, negated } : selector;
}

/** The selector that a caller of this one must not have, or the other way round. */
export function opposite({ type, value, negated }: Selector): Selector {
  return negated === true ? { type, value } : { type, value, negated: true };
}

export function isNegated({ negated }: Pick<Selector, 'negated'>): boolean {
  return negated === true;
}

/** By type, then value; a negative selector comes after the positive one. */
export function compareSelectors(a: Selector, b: Selector): number {
  return compareText(a.type, b.type) || compareText(a.value, b.value) || Number(isNegated(a)) - Number(isNegated(b));
}

/** By code unit, independent of the locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
