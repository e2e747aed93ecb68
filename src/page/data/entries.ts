/** Entries as a form has them: texts, which the server reads by its own rules. */

import type { Entry, EntryInput, EntryPatch } from '../../gen/admin-api.ts';

/** What the reader types. Empty texts are the server's defaults; empty lines of lists are left out. */
export interface EntryDraft {
  /** Only of a new entry. */
  readonly id: string;
  readonly spiffe_id: string;
  /** `type:value` or `!type:value` */
  readonly selectors: readonly string[];
  readonly hint: string;
  readonly dns_names: readonly string[];
  readonly federates_with: readonly string[];
  readonly x509_svid_ttl: string;
  readonly x509_svid_key_type: string;
  readonly jwt_svid_ttl: string;
  readonly allow_contained: boolean;
  /** RFC 3339; empty: never. */
  readonly expires_at: string;
  readonly parent_id: string;
}

export type DraftField = keyof EntryDraft;
export type ListField = 'selectors' | 'dns_names' | 'federates_with';

/** The fields in the order of the form, with their labels. */
export const LABELS: Readonly<Record<DraftField, string>> = {
  spiffe_id: 'SPIFFE ID',
  selectors: 'Selectors',
  hint: 'Hint',
  dns_names: 'DNS names',
  federates_with: 'Federates with',
  x509_svid_ttl: 'TTL of X.509-SVIDs',
  x509_svid_key_type: 'Key type',
  jwt_svid_ttl: 'TTL of JWT-SVIDs',
  allow_contained: 'Callers in containers',
  expires_at: 'Expires at',
  parent_id: 'Parent ID',
  id: 'Entry ID',
};

/** All but the id, which never changes. */
export const CHANGEABLE = (Object.keys(LABELS) as DraftField[]).filter((field) => field !== 'id');

export const NEW_DRAFT: EntryDraft = {
  id: '',
  spiffe_id: '',
  selectors: [''],
  hint: '',
  dns_names: [],
  federates_with: [],
  x509_svid_ttl: '',
  x509_svid_key_type: '',
  jwt_svid_ttl: '',
  allow_contained: false,
  expires_at: '',
  parent_id: '',
};

type Selector = Entry['selectors'][number];

export function selectorText({ type, value, negated }: Selector): string {
  return `${negated === true ? '!' : ''}${type}:${value}`;
}

export function draftOf(entry: Entry): EntryDraft {
  return {
    id: entry.id,
    spiffe_id: entry.spiffe_id,
    selectors: entry.selectors.map(selectorText),
    hint: entry.hint,
    dns_names: entry.dns_names,
    federates_with: entry.federates_with,
    x509_svid_ttl: durationText(entry.x509_svid_ttl),
    x509_svid_key_type: entry.x509_svid_key_type,
    jwt_svid_ttl: durationText(entry.jwt_svid_ttl),
    allow_contained: entry.allow_contained,
    expires_at: entry.expires_at ?? '',
    parent_id: entry.parent_id,
  };
}

/** @param seconds 0: the server's default, as an empty text */
export function durationText(seconds: number): string {
  if (seconds === 0) return '';
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const;
  const unit = units.find(([, size]) => seconds % size === 0);
  return unit === undefined ? `${seconds}s` : `${seconds / unit[1]}${unit[0]}`;
}

const filled = (lines: readonly string[]): string[] => lines.map((line) => line.trim()).filter((line) => line !== '');

/** The value of a field in a request. */
function givenOf(draft: EntryDraft, field: DraftField): unknown {
  const value = draft[field];
  if (typeof value === 'object') return filled(value);
  if (typeof value === 'boolean') return value;
  const text = value.trim();
  if (text !== '') return text;
  if (field === 'expires_at') return null;
  return field === 'x509_svid_ttl' || field === 'jwt_svid_ttl' ? 0 : '';
}

export function inputOf(draft: EntryDraft): EntryInput {
  const fields = CHANGEABLE.map((field) => [field, givenOf(draft, field)]);
  return { ...Object.fromEntries(fields), ...(draft.id.trim() !== '' && { id: draft.id.trim() }) } as EntryInput;
}

/** The fields that differ from what the reader began with. */
export function patchOf(draft: EntryDraft, before: EntryDraft): EntryPatch {
  const fields = CHANGEABLE.filter((field) => !isSameIn(field, draft, before));
  return Object.fromEntries(fields.map((field) => [field, givenOf(draft, field)])) as EntryPatch;
}

/** Whether both mean the same in this field; the order of lists means nothing. */
export function isSameIn(field: DraftField, one: EntryDraft, other: EntryDraft): boolean {
  const [a, b] = [givenOf(one, field), givenOf(other, field)];
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.toSorted().join('\n') === b.toSorted().join('\n');
}

/**
 * Where in the form a problem of the request belongs: the field, and of a list the line. Undefined: in none.
 * @param path such as `/selectors/0/value`, and of a preview `/create/selectors/0` or `/update/patch/selectors/0`
 */
export function placeOf(path: string, draft: EntryDraft): { field: DraftField; line?: number } | undefined {
  const [, name, at] = path.replace(/^\/(create|update\/patch)(?=\/|$)/, '').split('/');
  if (name === undefined || !Object.hasOwn(LABELS, name)) return undefined;
  const field = name as DraftField;
  const value = draft[field];
  if (typeof value !== 'object' || at === undefined || !/^\d+$/.test(at)) return { field };
  // Empty lines were not sent.
  const lines = value.flatMap((text, index) => (text.trim() === '' ? [] : [index]));
  const line = lines[Number(at)];
  return line === undefined ? { field } : { field, line };
}
