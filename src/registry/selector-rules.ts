/**
 * What an entry may select by. A selector that no attestor can ever give would make an entry that never matches, so
 * what can be told to be mistyped is refused. SPIRE takes it and stays silent.
 */

import { nearest } from '../base/nearest.ts';
import { compareSelectors, formatSelector, redactSelector, type Selector, splitSelector } from '../spiffe/selector.ts';
import type { EntryRules } from './entry-rules.ts';
import { type Place, readList, readObject, readText, show } from './place.ts';

const MAX_VALUE_LENGTH = 8192;
const MAX_ID = 2 ** 32 - 2;

const SELECTORS_RULE = 'selectors is a list of at least one {"type": …, "value": …}; a caller must have all of them';
const SELECTOR_RULE = 'a selector is {"type": "unix", "value": "uid:1000"}, or "unix:uid:1000" as one text';
const VALUE_RULE = `a selector's value is a text of 1 to ${MAX_VALUE_LENGTH} characters`;
const WEAK_RULE =
  'unix:path and unix:sha256 can be borrowed by any program of the same user, so one more is needed: a unix uid, gid, user, group, supplementary_gid or supplementary_group, or a docker selector (--allow-weak-selectors lifts this)';

const ID_RULE = `it is a decimal number from 0 to ${MAX_ID} without leading zeros`;
const NAME_RULE = 'it is a name as passwd and group have it, without colons, spaces and control characters';
const PATH_RULE = 'it is the absolute path that /proc/PID/exe shows: no empty segments, no . or ..';

/** Kinds of selectors, `<type>:<kind>:<value>`: what the value must look like, and the rule to show if it does not. */
type Kinds = Readonly<Record<string, { fits(value: string): boolean; rule: string }>>;

const UNIX_KINDS: Kinds = {
  uid: { fits: isId, rule: ID_RULE },
  gid: { fits: isId, rule: ID_RULE },
  user: { fits: isName, rule: NAME_RULE },
  group: { fits: isName, rule: NAME_RULE },
  supplementary_gid: { fits: isId, rule: ID_RULE },
  supplementary_group: { fits: isName, rule: NAME_RULE },
  path: { fits: isPath, rule: PATH_RULE },
  sha256: { fits: (value) => /^[0-9a-f]{64}$/.test(value), rule: 'it is 64 hexadecimal digits in lower case' },
};

const TEXT_RULE = 'it is not empty';
const LABEL_RULE = 'it is KEY:VALUE, the key without colons; the value may be empty';
const ENV_RULE = 'it is NAME=VALUE, as the container has it';
const DIGEST_RULE = 'it is sha256: and 64 hexadecimal digits in lower case';

const DOCKER_KINDS: Kinds = {
  label: { fits: (value) => value.indexOf(':') > 0, rule: LABEL_RULE },
  env: { fits: (value) => value.indexOf('=') > 0, rule: ENV_RULE },
  image_id: { fits: isText, rule: 'it is the name that the container was made with, such as envoyproxy/envoy:v1.36.0' },
  image_config_digest: { fits: isDigest, rule: DIGEST_RULE },
  image_digest: { fits: isDigest, rule: DIGEST_RULE },
  name: {
    fits: (value) => /^[A-Za-z0-9][\w.-]*$/.test(value),
    rule: 'it is letters, digits, _ . and -, without a slash',
  },
  container_id: { fits: (value) => /^[0-9a-f]{64}$/.test(value), rule: 'it is the whole id, 64 hexadecimal digits' },
  compose_project: { fits: isText, rule: TEXT_RULE },
  compose_service: { fits: isText, rule: TEXT_RULE },
  network: { fits: isText, rule: TEXT_RULE },
};

interface SelectorType {
  readonly kinds: Kinds;
  readonly example: string;
  /** True if they are facts about the container that a caller is in, by the word of who runs it. */
  readonly container: boolean;
}

const TYPES: Readonly<Record<string, SelectorType>> = {
  unix: { kinds: UNIX_KINDS, example: 'uid:1000', container: false },
  docker: { kinds: DOCKER_KINDS, example: 'label:app:web', container: true },
};

/** True if it is a fact about the container that a caller is in. */
export function isOfContainer({ type }: Pick<Selector, 'type'>): boolean {
  return Object.hasOwn(TYPES, type) && TYPES[type]!.container;
}

/** Reads the selectors of an entry, sorted. */
export function readSelectors(value: unknown, place: Place, rules: EntryRules): Selector[] | undefined {
  const seen = new Set<string>();
  const selectors = readList(value, place, SELECTORS_RULE, (element, at) => {
    const selector = readSelector(element, at, rules);
    if (selector === undefined) return undefined;
    const key = formatSelector(selector);
    if (seen.has(key)) return at.fault(`${redactSelector(selector)} is in the list already`, 'no two are the same');
    seen.add(key);
    return selector;
  });
  if (selectors === undefined) return undefined;
  const { length } = value as unknown[];
  if (length === 0) return place.fault('it is empty', SELECTORS_RULE);
  // With a faulty selector among them nobody knows yet what they come to.
  if (selectors.length === length && selectors.every(isWeak) && !rules.allowWeakSelectors) {
    return place.fault('it has only unix:path and unix:sha256', WEAK_RULE);
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
  for (const key of Object.keys(object)) {
    if (key !== 'type' && key !== 'value') place.at(key).fault('there is no such field', SELECTOR_RULE);
  }
  const places = { type: place.at('type'), value: place.at('value') };
  const type = readText(object.type, places.type, SELECTOR_RULE);
  const text = readText(object.value, places.value, VALUE_RULE);
  return type === undefined || text === undefined ? undefined : check({ type, value: text }, places, rules);
}

function check(selector: Selector, places: { type: Place; value: Place }, rules: EntryRules): Selector | undefined {
  const { type, value } = selector;
  const known = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (known === undefined) {
    const types = Object.keys(TYPES);
    const meant = nearest(type, types);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    return places.type.fault(`${show(type)} is no type of selectors here${hint}`, `the types are ${types.join(', ')}`);
  }
  if (value === '') return places.value.fault('it is empty', VALUE_RULE);
  if (value.length > MAX_VALUE_LENGTH) return places.value.fault(`it has ${value.length} characters`, VALUE_RULE);
  if (!hasForm(selector, known, places.value)) return undefined;
  if (!rules.attestors.has(type)) {
    rules.warn({
      path: places.type.path,
      problem: `no attestor gives ${type} selectors here`,
      rule: 'the entry is kept, but nobody matches it until one does',
    });
  }
  return selector;
}

/** What an environment holds may be a secret: nothing behind `=`, and no faulty `env`, is shown. */
function hasForm({ type, value: text }: Selector, { kinds, example }: SelectorType, place: Place): boolean {
  const names = Object.keys(kinds);
  const colon = `${text}:`.indexOf(':');
  const [kind, value] = [text.slice(0, colon), text.slice(colon + 1)];
  const rule = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (rule === undefined) {
    const shown = show(kind.split('=')[0]);
    const meant = nearest(kind, names);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    place.fault(`${shown} is no kind of ${type} selector${hint}`, `they are ${names.join(', ')}, as in ${example}`);
    return false;
  }
  if (rule.fits(value)) return true;
  place.fault(`${type}:${kind} is ${kind === 'env' ? 'of another form' : show(value)}`, rule.rule);
  return false;
}

function isWeak({ type, value }: Selector): boolean {
  return type === 'unix' && (value.startsWith('path:') || value.startsWith('sha256:'));
}

function isId(value: string): boolean {
  return /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) <= MAX_ID;
}

function isName(value: string): boolean {
  return /^[^\s:\p{Cc}]+$/u.test(value);
}

function isText(value: string): boolean {
  return value !== '';
}

function isDigest(value: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(value);
}

function isPath(value: string): boolean {
  return (
    value.startsWith('/') &&
    value
      .slice(1)
      .split('/')
      .every((part) => part !== '' && part !== '.' && part !== '..')
  );
}
