/**
 * Selectors: what an attestor says of a caller, and what an entry asks for.
 *
 * @see SPIRE's `type:value` form, split at the first colon: values may have colons, types may not.
 */

export interface Selector {
  /** Which attestor's word it is: `unix`, `docker`. No colon. */
  readonly type: string;
  /** What it says, compared byte for byte: `uid:1000`, `label:app:web`. */
  readonly value: string;
}

/** `type:value`; two selectors are the same if and only if this is. */
export function formatSelector(selector: Selector): string {
  return `${selector.type}:${selector.value}`;
}

/** Splits `type:value` at the first colon; undefined where there is none or a side is empty. */
export function splitSelector(text: string): Selector | undefined {
  const colon = text.indexOf(':');
  if (colon <= 0 || colon === text.length - 1) return undefined;
  return { type: text.slice(0, colon), value: text.slice(colon + 1) };
}

/** By type, then value. */
export function compareSelectors(a: Selector, b: Selector): number {
  return compareText(a.type, b.type) || compareText(a.value, b.value);
}

/** By code unit, whatever the locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
