/** Looks up properties of selectors and their kinds in the catalog of attestors. */

import { formatSelector, isNegated, type Selector } from '../spiffe/index.ts';
import { isAskedFor } from './asked.ts';
import { ATTESTORS, attestorOf } from './catalog.ts';
import type { SelectorKind } from './description.ts';
import { endOfName } from './of-kinds.ts';
import type { AskedSelectors } from './types.ts';

const BY_NAME = new Map(
  ATTESTORS.flatMap(({ type, kinds }) => Object.entries(kinds).map(([name, kind]) => [`${type}:${name}`, kind])),
);

/** The kind of a selector, which is the beginning of its value; undefined if no attestor has such a kind. */
export function kindOf({ type, value }: Selector): SelectorKind | undefined {
  return BY_NAME.get(`${type}:${nameOfKind(value)}`);
}

/** The source of a fact. @param fact as `type:value`, or `!type:value` */
export function sourceOf(fact: string): string {
  const [type, name] = fact.replace(/^!/, '').split(':', 2) as [string, string | undefined];
  return BY_NAME.get(`${type}:${name}`)?.source ?? 'an attestor';
}

/** True if the selector is a fact about the caller's container. */
export function isOfContainer({ type }: Pick<Selector, 'type'>): boolean {
  return attestorOf(type)?.container !== undefined;
}

/** See {@link SelectorKind.weak}. */
export function isWeak(selector: Selector): boolean {
  return kindOf(selector)?.weak === true;
}

/** See {@link SelectorKind.chosen}. */
export function isChosen(selector: Selector): boolean {
  return kindOf(selector)?.chosen === true;
}

/** True if every process of root has the selector. */
export function isOfRoot(selector: Selector): boolean {
  const root = kindOf(selector)?.ofRoot;
  return root !== undefined && selector.value.slice(nameOfKind(selector.value).length + 1) === root;
}

/** Kinds that attestations find only while an entry asks for one: `unix:sha256`. */
export const LAZY_KINDS: readonly string[] = namesOf(({ onDemand }) => onDemand === 'kind');

/** Kinds whose values begin with a name, with the end of that name; see {@link SelectorKind.nameEnd}. */
export const NAMED_KINDS: readonly { readonly prefix: string; readonly end: string }[] = [...BY_NAME].flatMap(
  ([name, { nameEnd }]) => (nameEnd === undefined ? [] : [{ prefix: `${name}:`, end: nameEnd }]),
);

/** True if callers have the selector only while an entry asks for exactly this one. */
export function isKeptIfAsked(selector: Selector): boolean {
  return kindOf(selector)?.onDemand === 'selector';
}

/** True if an attestation keeps the selector: it is always kept, or an entry asks for it. */
export function isKept(selector: Selector, asked: Pick<AskedSelectors, 'askers'>): boolean {
  return !isKeptIfAsked(selector) || isAskedFor(selector, asked);
}

/** True if callers may lack the selector only because no entry asks for it, or for any of its kind. */
export function isUnread(selector: Selector, asked: Pick<AskedSelectors, 'askers' | 'asksFor'>): boolean {
  const { type, value } = selector;
  if (isKeptIfAsked(selector)) return !isAskedFor(selector, asked);
  return kindOf(selector)?.onDemand === 'kind' && !asked.asksFor(`${type}:${nameOfKind(value)}`);
}

/** True if its value is never shown, such as that of a variable; also true of a redacted selector. */
export function isSecret(selector: Selector): boolean {
  return kindOf(selector)?.secret === true;
}

/** Like {@link formatSelector}, without secret values; for logs and answers. */
export function redactSelector(selector: Selector): string {
  const kind = kindOf(selector);
  if (kind?.secret !== true) return formatSelector(selector);
  const { type, value } = selector;
  const end = endOfName(value, kind);
  if (end === -1) return formatSelector(selector);
  return `${isNegated(selector) ? '!' : ''}${type}:${value.slice(0, end + 1)}[redacted]`;
}

function namesOf(is: (kind: SelectorKind) => boolean): string[] {
  return [...BY_NAME].filter(([, kind]) => is(kind)).map(([name]) => name);
}

function nameOfKind(value: string): string {
  const colon = value.indexOf(':');
  return colon === -1 ? value : value.slice(0, colon);
}
