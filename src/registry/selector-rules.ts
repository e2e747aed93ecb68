/**
 * Checks the selectors of an entry. An entry with a selector that no attestor can provide would never match, so
 * recognisable mistakes are refused. SPIRE accepts them silently.
 */

import {
  ATTESTORS,
  attestorOf,
  isWeak,
  type ListedAttestor,
  redactSelector,
  type SelectorKind,
  type SelectorKinds,
} from '../attest/index.ts';
import { nearest } from '../base/index.ts';
import {
  compareSelectors,
  formatSelector,
  isNegated,
  opposite,
  type Selector,
  splitSelector,
} from '../spiffe/index.ts';
import type { EntryRules } from './entry-rules.ts';
import { type Place, readList, readObject, readText, show } from './place.ts';

const MAX_VALUE_LENGTH = 8192;

const SELECTORS_RULE = 'selectors is a list of at least one, such as ["unix:uid:1000"]; a caller must have all of them';
const SELECTOR_RULE =
  'a selector is {"type": "unix", "value": "uid:1000"}, or "unix:uid:1000" as one text; a negative one has "negated": true, or begins with ! ("!unix:uid:1000")';
const POSITIVE_RULE = 'an entry needs a selector that its callers have; a negative one only leaves some of them out';
const OPPOSITE_RULE = 'no caller both has a fact and has it not';
const VALUE_RULE = `a selector's value is a text of 1 to ${MAX_VALUE_LENGTH} characters`;
const WEAK = ATTESTORS.flatMap(({ type, kinds }) => names(kinds, isWeakKind).map((name) => `${type}:${name}`)).join(
  ' and ',
);
const STRONG = ATTESTORS.map(({ type, kinds }) => {
  const strong = names(kinds, (kind) => !isWeakKind(kind));
  return strong.length === Object.keys(kinds).length ? `a ${type} selector` : `a ${type} ${alternatives(strong)}`;
});
const WEAK_RULE = `${WEAK} can be borrowed by any program of the same user, so one more is needed: ${STRONG.join(', or ')} (--allow-weak-selectors lifts this)`;

/** Reads the selectors of an entry, sorted. */
export function readSelectors(value: unknown, place: Place, rules: EntryRules): Selector[] | undefined {
  const seen = new Set<string>();
  const selectors = readList(value, place, SELECTORS_RULE, (element, at) => {
    const selector = readSelector(element, at, rules);
    if (selector === undefined) return undefined;
    const key = formatSelector(selector);
    if (seen.has(key)) return at.fault(`${redactSelector(selector)} is in the list already`, 'no two are the same');
    seen.add(key);
    if (!seen.has(formatSelector(opposite(selector)))) return selector;
    return at.fault(`${redactSelector(opposite(selector))} is in the list too`, OPPOSITE_RULE);
  });
  if (selectors === undefined) return undefined;
  const { length } = value as unknown[];
  if (length === 0) return place.fault('it is empty', SELECTORS_RULE);
  // The checks are skipped if one of them is invalid, since its correction may be a strong selector.
  if (selectors.length !== length) return selectors;
  const positive = selectors.filter((selector) => !isNegated(selector));
  if (positive.length === 0) return place.fault('it has only negative selectors', POSITIVE_RULE);
  if (positive.every(isWeak) && !rules.allowWeakSelectors) {
    return place.fault(`it has only ${WEAK}`, WEAK_RULE);
  }
  return selectors.sort(compareSelectors);
}

function readSelector(value: unknown, place: Place, rules: EntryRules): Selector | undefined {
  if (typeof value === 'string') {
    const selector = splitSelector(value);
    if (selector === undefined) return place.fault(`it is ${show(value)}`, SELECTOR_RULE);
    return check(selector, { type: place, value: place }, rules);
  }
  const object = readObject(value, place, SELECTOR_RULE);
  if (object === undefined) return undefined;
  const [key, ...others] = Object.keys(object);
  if (others.length === 0 && key?.includes(':') === true) {
    // The value may be a secret.
    return place.fault(
      `it is a map with the key ${show(key.split('=')[0])}`,
      'in YAML a colon and a space make a map: write the selector without the space, such as unix:user:web, or in quotes',
    );
  }
  for (const key of Object.keys(object)) {
    if (!FIELDS.includes(key)) place.at(key).fault('there is no such field', SELECTOR_RULE);
  }
  const { negated = false } = object;
  if (typeof negated !== 'boolean') return place.at('negated').fault(`it is ${show(negated)}`, SELECTOR_RULE);
  const places = { type: place.at('type'), value: place.at('value') };
  const type = readText(object.type, places.type, SELECTOR_RULE);
  const text = readText(object.value, places.value, VALUE_RULE);
  if (type === undefined || text === undefined) return undefined;
  return check(negated ? { type, value: text, negated } : { type, value: text }, places, rules);
}

const FIELDS: readonly string[] = ['type', 'value', 'negated'];

/** Selectors of other hosts: those of workloads that agents attest, and of the agents themselves. */
const OF_AGENTS: readonly string[] = ['k8s', 'windows', 'x509pop'];

function check(
  selector: Selector,
  places: { type: Place; value: Place },
  { hasAgents = false }: EntryRules,
): Selector | undefined {
  const { type, value } = selector;
  const known = attestorOf(type);
  const isOfAgents = hasAgents && OF_AGENTS.includes(type);
  if (known === undefined && !isOfAgents) {
    const types = [...ATTESTORS.map((attestor) => attestor.type), ...(hasAgents ? OF_AGENTS : [])];
    const meant = nearest(type, types);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    return places.type.fault(`${show(type)} is not a selector type here${hint}`, `the types are ${types.join(', ')}`);
  }
  if (value === '') return places.value.fault('it is empty', VALUE_RULE);
  if (value.length > MAX_VALUE_LENGTH) return places.value.fault(`it has ${value.length} characters`, VALUE_RULE);
  return known === undefined || hasForm(selector, known, places.value) ? selector : undefined;
}

/** Values may be secret: messages never show text after `=`, or an invalid value of a kind that has secrets. */
function hasForm({ type, value: text }: Selector, { kinds, example }: ListedAttestor, place: Place): boolean {
  const names = Object.keys(kinds);
  const colon = `${text}:`.indexOf(':');
  const [kind, value] = [text.slice(0, colon), text.slice(colon + 1)];
  const rule = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (rule === undefined) {
    const shown = show(kind.split('=')[0]);
    const meant = nearest(kind, names);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    place.fault(`${shown} is not a kind of ${type} selector${hint}`, `they are ${names.join(', ')}, as in ${example}`);
    return false;
  }
  if (rule.fits(value)) return true;
  place.fault(`${type}:${kind} is ${rule.secret === true ? 'of another form' : show(value)}`, rule.rule);
  return false;
}

function names(kinds: SelectorKinds, of: (kind: SelectorKind) => boolean): string[] {
  return Object.entries(kinds).flatMap(([name, kind]) => (of(kind) ? [name] : []));
}

function isWeakKind({ weak }: SelectorKind): boolean {
  return weak === true;
}

/** `a, b or c` */
function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
