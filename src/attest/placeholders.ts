/**
 * The placeholders of templates, by the catalog of attestors: `{<type>.<kind>}`, and for labels `{<type>.<kind>.<name>}`.
 */

import { formatSelector, type Selector } from '../spiffe/index.ts';
import { ATTESTORS } from './catalog.ts';
import { isOfContainer } from './selector-kinds.ts';
import type { Placeholder, PlaceholderValue } from './types.ts';

/** The forms of all placeholders, with who chooses their values: `docker.label.KEY`. */
export const PLACEHOLDER_FORMS: readonly { readonly form: string; readonly chosenBy: string }[] = ATTESTORS.flatMap(
  ({ type, kinds }) =>
    Object.entries(kinds).flatMap(([kind, { rendered, nameEnd }]) =>
      rendered === undefined
        ? []
        : [{ form: `${type}.${kind}${nameEnd === undefined ? '' : '.KEY'}`, chosenBy: rendered }],
    ),
);

/** Keys of labels in placeholders. A slash would end the path segment, and a colon is not unambiguous in a selector. */
const KEY = /^[A-Za-z0-9._-]{1,255}$/;

/** The placeholder of this name; undefined if there is none. */
export function placeholderOf(name: string): Placeholder | undefined {
  const [type = '', kind = ''] = name.split('.', 2);
  const known = ATTESTORS.find((attestor) => attestor.type === type)?.kinds;
  const is = known !== undefined && Object.hasOwn(known, kind) ? known[kind] : undefined;
  if (is?.rendered === undefined) return undefined;
  const rest = name.slice(type.length + 1 + kind.length);
  if (is.nameEnd === undefined) return rest === '' ? { name, type, kind, key: undefined } : undefined;
  const key = rest.slice(1);
  return rest.startsWith('.') && KEY.test(key) ? { name, type, kind, key } : undefined;
}

/** The kind whose facts fill the placeholder, as entries ask for it: `docker:compose_service`, `docker:label:app`. */
export function kindsOfPlaceholder({ type, kind, key }: Placeholder): string[] {
  const whole = `${type}:${kind}`;
  return key === undefined ? [whole] : [whole, `${whole}:${key}`];
}

/** True if the fact is about the caller's container. Facts about its process are chosen by root in the container. */
export function isAboutContainer(placeholder: Placeholder): boolean {
  return isOfContainer(placeholder);
}

export const NO_VALUES: ReadonlyMap<string, PlaceholderValue> = new Map();

/** The values that several attestors found. */
export function valuesOf(
  found: readonly { readonly values: ReadonlyMap<string, PlaceholderValue> }[],
): ReadonlyMap<string, PlaceholderValue> {
  const some = found.filter(({ values }) => values.size > 0);
  return some.length === 0 ? NO_VALUES : new Map(some.flatMap(({ values }) => [...values]));
}

/**
 * The value of a placeholder by a list of assumed facts. Several values give none, because it is not known which one the
 * entry means.
 */
export function valueAmong(selectors: readonly Selector[], placeholder: Placeholder): PlaceholderValue {
  const { type, kind, key } = placeholder;
  const beginning = `${type}:${kind}:${key === undefined ? '' : `${key}:`}`;
  const found = selectors.map(formatSelector).filter((text) => text.startsWith(beginning));
  if (found.length > 1) return { why: 'the caller has several values of it' };
  const [only] = found;
  return only === undefined
    ? { why: `no ${beginning.slice(0, -1)} fact is known` }
    : { value: only.slice(beginning.length) };
}
