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
}

/** `type:value`; equal exactly if the selectors are equal. */
export function formatSelector(selector: Selector): string {
  return `${selector.type}:${selector.value}`;
}

/** Splits `type:value` at the first colon; undefined if there is none or a side is empty. */
export function splitSelector(text: string): Selector | undefined {
  const colon = text.indexOf(':');
  if (colon <= 0 || colon === text.length - 1) return undefined;
  return { type: text.slice(0, colon), value: text.slice(colon + 1) };
}

/** By type, then value. */
export function compareSelectors(a: Selector, b: Selector): number {
  return compareText(a.type, b.type) || compareText(a.value, b.value);
}

/** By code unit, independent of the locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
