/** Reads entries from users and files: JSON with the admin API's names, the same in camel case, or SPIRE's names. */

import { nearest, type Problem, SidekeyError, Slices } from '../base/index.ts';
import { trustDomainId } from '../spiffe/index.ts';
import { ENTRY_FIELD_LIST } from './entry-fields.ts';
import { snakeCase } from './entry-names.ts';
import { collect, Place, readList, readObject, show } from './place.ts';
import type { EntryInput, EntryPatch, EntryRules } from './types.ts';

export type { EntryRules } from './types.ts';

const LIST_RULE = 'entries is a list of entries';

/** Reads one entry. Problem paths are JSON pointers that begin with `at`. @throws ERR_BAD_INPUT with all problems */
export function parseEntryInput(value: unknown, rules: EntryRules, at = ''): EntryInput {
  return collect((problems) => readEntry(value, new Place(at, problems), rules));
}

/** Reads a list of entries. @throws ERR_BAD_INPUT with all problems of all entries */
export function parseEntryInputs(value: unknown, rules: EntryRules, at = '/entries'): EntryInput[] {
  return collect((problems) =>
    readList(value, new Place(at, problems), LIST_RULE, (entry, place) => readEntry(entry, place, rules)),
  );
}

/** The same in slices, for lists of any length. @throws ERR_BAD_INPUT with all problems of all entries */
export async function readEntryInputs(value: unknown, rules: EntryRules, at = '/entries'): Promise<EntryInput[]> {
  const problems: Problem[] = [];
  const place = new Place(at, problems);
  const inputs: EntryInput[] = [];
  const slices = new Slices();
  if (!Array.isArray(value)) place.fault(`it is ${show(value)}, not a list`, LIST_RULE);
  for (const [index, entry] of Array.isArray(value) ? value.entries() : []) {
    if (slices.isOver()) await slices.next();
    const input = readEntry(entry, place.at(index), rules);
    if (input !== undefined) inputs.push(input);
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return inputs;
}

/** Reads a change of the entry `id`. The input may contain this id, but no other. @throws ERR_BAD_INPUT */
export function parseEntryPatch(value: unknown, rules: EntryRules, id: string, at = ''): EntryPatch {
  return collect((problems) => {
    const place = new Place(at, problems);
    const { id: given, ...patch } =
      readFields(value, place, rules, 'a change is an object with the fields to change') ?? {};
    if (given !== undefined && given !== id) place.at('id').fault(`it is ${show(given)}`, 'an id does not change');
    return patch;
  });
}

/** Fields that the registry sets are ignored, so that an entry that was read can be sent back. */
const GIVEN = ENTRY_FIELD_LIST.filter(([, { read }]) => read !== undefined);
const SET_BY_REGISTRY = ENTRY_FIELD_LIST.filter(([, { read }]) => read === undefined);

/** By JSON name and SPIRE's name, in snake case. */
const BY_NAME = new Map(
  GIVEN.flatMap(([key, row]) =>
    [row.name, row.spireName?.name ?? row.name].map((name) => [snakeCase(name), { key, row }]),
  ),
);
/** Suggestions for misspelt names. */
const NAMES = GIVEN.flatMap(([, { name, spireName }]) => [name as string, ...(spireName ? [spireName.name] : [])]);
const READ_ONLY = new Set(SET_BY_REGISTRY.map(([, { name }]) => name as string));
const DEFAULTS = Object.fromEntries(GIVEN.map(([key, { absent }]) => [key, absent])) as unknown as Pick<
  EntryInput,
  Exclude<keyof EntryInput, 'spiffeId' | 'selectors'>
>;

/** Properties of SPIRE's entries that Sidekey does not support, with the reason. */
const REFUSED: Readonly<Record<string, string>> = {
  admin: 'entries give no access to the admin API; it has its own socket and token. Leave it out or false',
  downstream: 'Sidekey signs no intermediates for other servers; leave it out or false',
  store_svid: 'Sidekey does not write SVIDs to a store; callers fetch them. Leave it out or false',
};

/** SPIRE's additional_attributes. SVIDs are issued on request, so there is no prefetch to disable. */
const ATTRIBUTES: Readonly<Record<string, { takesTrue: boolean; rule: string }>> = {
  disable_x509_svid_prefetch: { takesTrue: true, rule: 'it is true or false' },
  jwt_svid_include_jti: { takesTrue: false, rule: 'Sidekey sets no jti; leave it out or false' },
};

function readEntry(value: unknown, place: Place, rules: EntryRules): EntryInput | undefined {
  const fields = readFields(value, place, rules, 'an entry is an object with spiffe_id and selectors');
  if (fields === undefined) return undefined;
  const given = new Set(Object.keys(value as object).map(snakeCase));
  if (!given.has('spiffe_id')) {
    place.at('spiffe_id').fault('it is missing', `an entry gives a SPIFFE ID: ${trustDomainId(rules.trustDomain)}/…`);
  }
  if (!given.has('selectors')) {
    place.at('selectors').fault('it is missing', 'an entry selects callers by at least one selector');
  }
  const { spiffeId, selectors } = fields;
  if (spiffeId === undefined || selectors === undefined) return undefined;
  return { ...DEFAULTS, ...fields, spiffeId, selectors };
}

/** Reads the fields that are present; leaves out invalid ones. */
function readFields(value: unknown, place: Place, rules: EntryRules, rule: string): Partial<EntryInput> | undefined {
  const object = readObject(value, place, rule);
  if (object === undefined) return undefined;
  const fields: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const [name, member] of Object.entries(object)) {
    const field = BY_NAME.get(snakeCase(name));
    const at = place.at(name);
    if (field === undefined) readOther(name, member, at);
    else if (names.has(field.key)) at.fault(`it is the same field as ${names.get(field.key)}`, 'give one of the two');
    else {
      names.set(field.key, name);
      const read = field.row.read!(member, at, rules);
      if (read !== undefined) fields[field.key] = read;
    }
  }
  return fields as Partial<EntryInput>;
}

function readOther(given: string, value: unknown, place: Place): void {
  const name = snakeCase(given);
  if (READ_ONLY.has(name)) return;
  if (Object.hasOwn(REFUSED, name)) {
    if (value !== false) place.fault(`it is ${show(value)}`, REFUSED[name]!);
  } else if (name === 'additional_attributes') {
    readAttributes(value, place);
  } else {
    place.fault(`there is no such field${didYouMean(given, NAMES)}`, 'an entry has only fields that are known');
  }
}

function readAttributes(value: unknown, place: Place): void {
  if (value === null) return;
  const known = Object.keys(ATTRIBUTES);
  const attributes = readObject(value, place, `it is an object with ${known.join(', ')}`);
  for (const [name, member] of Object.entries(attributes ?? {})) {
    const snake = snakeCase(name);
    const attribute = Object.hasOwn(ATTRIBUTES, snake) ? ATTRIBUTES[snake] : undefined;
    const at = place.at(name);
    if (attribute === undefined)
      at.fault(`there is no such field${didYouMean(name, known)}`, `they are ${known.join(', ')}`);
    else if (member !== false && !(member === true && attribute.takesTrue))
      at.fault(`it is ${show(member)}`, attribute.rule);
  }
}

/** SPIRE's name before 1.5, which spelling alone would not suggest. */
const FORMER_NAMES: Readonly<Record<string, string>> = { ttl: 'x509_svid_ttl' };

function didYouMean(name: string, known: readonly string[]): string {
  const meant = Object.hasOwn(FORMER_NAMES, name) ? FORMER_NAMES[name] : nearest(name, known);
  return meant === undefined ? '' : `; did you mean ${meant}?`;
}
