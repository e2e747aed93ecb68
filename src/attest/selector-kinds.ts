/** What the catalog of attestors says of selectors and their kinds. */

import { formatSelector, type Selector } from '../spiffe/selector.ts';
import { isAskedFor } from './asked.ts';
import { ATTESTORS, attestorOf } from './catalog.ts';
import type { SelectorKind } from './description.ts';
import { endOfName } from './of-kinds.ts';
import type { AskedSelectors } from './types.ts';

const BY_NAME = new Map(
  ATTESTORS.flatMap(({ type, kinds }) => Object.entries(kinds).map(([name, kind]) => [`${type}:${name}`, kind])),
);

/** The kind of a selector, by what its value begins with; undefined where no attestor has such. */
export function kindOf({ type, value }: Selector): SelectorKind | undefined {
  return BY_NAME.get(`${type}:${nameOfKind(value)}`);
}

/** Whose word a fact is, as `type:value`. */
export function sourceOf(fact: string): string {
  const [type, name] = fact.split(':', 2) as [string, string | undefined];
  return BY_NAME.get(`${type}:${name}`)?.source ?? 'an attestor';
}

/** True if it is a fact about the container that a caller is in. */
export function isOfContainer({ type }: Pick<Selector, 'type'>): boolean {
  return attestorOf(type)?.container !== undefined;
}

/** True if any program of the caller's user can take it on. */
export function isWeak(selector: Selector): boolean {
  return kindOf(selector)?.weak === true;
}

/** True if whoever starts the caller chooses it. */
export function isChosen(selector: Selector): boolean {
  return kindOf(selector)?.chosen === true;
}

/** True if every process of root has it. */
export function isOfRoot(selector: Selector): boolean {
  const root = kindOf(selector)?.ofRoot;
  return root !== undefined && selector.value.slice(nameOfKind(selector.value).length + 1) === root;
}

/** Kinds that are found out only while an entry asks for one: `unix:sha256`. */
export const LAZY_KINDS: readonly string[] = namesOf(({ onDemand }) => onDemand === 'kind');

/** Kinds whose selectors are alternatives to each other only where they have the same name, with what ends that. */
export const NAMED_KINDS: readonly { readonly prefix: string; readonly end: string }[] = [...BY_NAME].flatMap(
  ([name, { nameEnd }]) => (nameEnd === undefined ? [] : [{ prefix: `${name}:`, end: nameEnd }]),
);

/** True of selectors that callers have only while an entry asks for exactly that one. */
export function isKeptIfAsked(selector: Selector): boolean {
  return kindOf(selector)?.onDemand === 'selector';
}

/** True of a selector that a caller is given. */
export function isKept(selector: Selector, asked: Pick<AskedSelectors, 'askers'>): boolean {
  return !isKeptIfAsked(selector) || isAskedFor(selector, asked);
}

/** True if it holds something that is never shown, such as a variable's value, or stands for it, as on record. */
export function isSecret(selector: Selector): boolean {
  return kindOf(selector)?.secret === true;
}

/** For logs and answers: like {@link formatSelector}, but nothing secret is shown. */
export function redactSelector(selector: Selector): string {
  const kind = kindOf(selector);
  if (kind?.secret !== true) return formatSelector(selector);
  const { type, value } = selector;
  const end = endOfName(value, kind);
  return end === -1 ? formatSelector(selector) : `${type}:${value.slice(0, end + 1)}[redacted]`;
}

function namesOf(is: (kind: SelectorKind) => boolean): string[] {
  return [...BY_NAME].filter(([, kind]) => is(kind)).map(([name]) => name);
}

function nameOfKind(value: string): string {
  const colon = value.indexOf(':');
  return colon === -1 ? value : value.slice(0, colon);
}
