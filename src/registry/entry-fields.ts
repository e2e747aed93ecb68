/**
 * The fields of an entry, one row each: meaning, JSON and file form, display, storage, command line flag, and effect on
 * SVIDs. A new field needs a row here and a migration (sqlite/migrations.ts).
 */

import {
  EVERY_DOMAIN,
  parseIdOrTemplate,
  parseTrustDomain,
  type Selector,
  type SpiffeId,
  SVID_KEY_TYPES,
  type SvidKeyType,
  type TemplateText,
  type TrustDomain,
} from '../spiffe/index.ts';
import {
  readAllowContained,
  readDnsNames,
  readExpiresAt,
  readFederatesWith,
  readHint,
  readId,
  readKeyType,
  readParentId,
  readSpiffeIdOrTemplate,
  readTtl,
} from './entry-readers.ts';
import type { EntryRules } from './entry-rules.ts';
import type { Place } from './place.ts';
import { readSelectors } from './selector-rules.ts';

/** JSON Schema as in OpenAPI 3.1. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The form in the database: lists as JSON, times as milliseconds since the epoch. */
interface ColumnForm<T> {
  toColumn(value: T): string | number;
  /** @throws an error if the stored value is invalid, as after manual edits of the database */
  fromColumn(stored: never): T;
}

/** The form on the command line. */
export interface Flag {
  /** `--x509-svid-ttl <duration>` */
  readonly option: string;
  readonly help: string;
  readonly kind: 'text' | 'texts' | 'selectors' | 'duration' | 'instant' | 'switch';
  /** The meaning of the `--no-…` form, if there is one. */
  readonly no?: string;
  /** The `--no-…` form removes something, so only `update` has it. */
  readonly noOnUpdate?: boolean;
}

export interface EntryField<Name extends string, T, Shown> {
  /** The name in JSON and of the column. */
  readonly name: Name;
  /** SPIRE's name for it in files, if different. */
  readonly spireName?: { readonly name: string; readonly schema: JsonSchema };
  /**
   * Reads user input: the value, or undefined after recording a fault. Undefined: the registry sets the field and
   * ignores input.
   */
  readonly read?: (value: unknown, place: Place, rules: EntryRules) => T | undefined;
  /** The value if none is given; undefined: the field is required, or set by the registry. */
  readonly absent?: T;
  readonly column: ColumnForm<T>;
  /** The value in JSON output. */
  show(value: T): Shown;
  readonly schema: JsonSchema;
  /** The schema of input, if it accepts more than the output has. */
  readonly givenSchema?: JsonSchema;
  readonly flag?: Flag;
  /** The SVID contains it or its lifetime depends on it, so a change requires new SVIDs. */
  readonly inSvid?: true;
  /** A change cannot affect which callers match. Without this a change ends lapses (`identity/lapses.ts`). */
  readonly decidesNobody?: true;
}

const TEXT: ColumnForm<string> = { toColumn: (value) => value, fromColumn: (stored: string) => stored };
const NUMBER: ColumnForm<number> = { toColumn: (value) => value, fromColumn: (stored: number) => stored };
const BOOLEAN: ColumnForm<boolean> = { toColumn: Number, fromColumn: (stored: number) => stored === 1 };
const TEXTS = listOf((text: string) => text);

const NONE: readonly never[] = [];

function listOf<T>(read: (element: never) => T): ColumnForm<readonly T[]> {
  return {
    toColumn: (value) => JSON.stringify(value),
    // Most lists but the selectors are empty, and a start reads all entries.
    fromColumn: (stored: string) => (stored === '[]' ? NONE : (JSON.parse(stored) as never[]).map(read)),
  };
}

function keyTypeOf(stored: string): SvidKeyType | '' {
  const type = ['' as const, ...SVID_KEY_TYPES].find((one) => one === stored);
  if (type === undefined) throw new Error(`${JSON.stringify(stored)} is not a key type`);
  return type;
}

const same = <T>(value: T): T => value;
const timestamp = (value: number): string => new Date(value).toISOString();
/** Checks a row's types and keeps the literal types of its names. */
const field = <const Name extends string, T, Shown>(row: EntryField<Name, T, Shown>): EntryField<Name, T, Shown> => row;

const SELECTOR: JsonSchema = {
  type: 'object',
  properties: {
    type: { type: 'string', minLength: 1 },
    value: { type: 'string', minLength: 1 },
    negated: { const: true, description: 'the caller is known not to have it; absent: it has it' },
  },
  required: ['type', 'value'],
  additionalProperties: false,
};
const GIVEN_SELECTOR: JsonSchema = {
  ...SELECTOR,
  properties: { ...(SELECTOR.properties as object), negated: { type: 'boolean' } },
};
const SELECTOR_TEXT = {
  type: 'string',
  pattern: '^!?[^:]+:.+',
  description: 'all as one text: unix:uid:1000, or !docker:label:tier:canary for one that callers must not have',
};
const AT_LEAST_ONE = {
  minItems: 1,
  description: 'callers that have all of them, and none of the negated ones, may have the SPIFFE ID',
};
const TTL: JsonSchema = { type: 'integer', minimum: 0, description: "seconds; 0: the server's default" };
const ID_OR_TEMPLATE: JsonSchema = {
  type: 'string',
  description: 'spiffe://<trust domain>/<path>; a path segment may be a placeholder such as {unix.user}',
};
const ID_OBJECT: JsonSchema = {
  type: 'object',
  properties: { trust_domain: { type: 'string' }, path: { type: 'string' } },
  required: ['trust_domain', 'path'],
  additionalProperties: false,
};
const EPOCH_TEXT: JsonSchema = { type: 'string', pattern: '^[0-9]{1,15}$' };
const GIVEN_TTL: JsonSchema = {
  anyOf: [TTL, { type: 'string', description: 'a duration: 90s, 1h30m, 7d, or seconds' }],
};
const LIST_OF_TEXTS: JsonSchema = { type: 'array', items: { type: 'string' } };
const TIMESTAMP: JsonSchema = { type: 'string', format: 'date-time' };

export const ENTRY_FIELDS = {
  /** `[A-Za-z0-9._-]`, 1 to 255 characters; a UUIDv4 unless given. */
  id: field({
    name: 'id',
    spireName: { name: 'entry_id', schema: { type: 'string' } },
    read: readId,
    column: TEXT,
    show: same,
    schema: { type: 'string' },
    givenSchema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,255}$' },
  }),
  /** A template stands for one SPIFFE ID for each set of values; see `identity/renderings.ts`. */
  spiffeId: field({
    name: 'spiffe_id',
    read: readSpiffeIdOrTemplate,
    column: {
      toColumn: (value: SpiffeId | TemplateText) => value,
      fromColumn: (stored: string) => parseIdOrTemplate(stored),
    },
    show: (value): string => value,
    schema: ID_OR_TEMPLATE,
    givenSchema: { anyOf: [ID_OR_TEMPLATE, ID_OBJECT] },
    flag: {
      option: '--spiffe-id <id>',
      help: 'the identity: spiffe://<trust domain>/<path>; a segment may be a placeholder such as {unix.user}',
      kind: 'text',
    },
    inSvid: true,
  }),
  /** At least one that is not negated, without duplicates, sorted by type, then value. */
  selectors: field({
    name: 'selectors',
    read: (value, place, rules): readonly Selector[] | undefined => readSelectors(value, place, rules),
    column: listOf((selector: Selector) => selector),
    show: same,
    schema: { type: 'array', items: SELECTOR, ...AT_LEAST_ONE },
    givenSchema: { type: 'array', items: { anyOf: [GIVEN_SELECTOR, SELECTOR_TEXT] }, ...AT_LEAST_ONE },
    flag: {
      option: '--selector <type:value>',
      help: "a selector that callers must have, such as unix:uid:1000, or must not have: '!unix:user:alice'; repeat for more",
      kind: 'selectors',
    },
  }),
  /** Stored and shown for SPIRE's files; has no effect. Empty if not given. */
  parentId: field({
    name: 'parent_id',
    read: readParentId,
    absent: '',
    column: TEXT,
    show: same,
    schema: { type: 'string', description: 'kept and echoed; it grants nothing' },
    givenSchema: { anyOf: [{ type: 'string' }, ID_OBJECT], description: 'kept and echoed; it grants nothing' },
    flag: { option: '--parent-id <id>', help: 'kept and shown; it grants nothing', kind: 'text' },
    decidesNobody: true,
  }),
  /** Seconds; 0: the server's default. */
  x509SvidTtl: field({
    name: 'x509_svid_ttl',
    read: readTtl,
    absent: 0,
    column: NUMBER,
    show: same,
    schema: TTL,
    givenSchema: GIVEN_TTL,
    flag: {
      option: '--x509-svid-ttl <duration>',
      help: "how long an X.509-SVID lives (default: the server's)",
      kind: 'duration',
    },
    inSvid: true,
    decidesNobody: true,
  }),
  /** Empty: the server's default. */
  x509SvidKeyType: field({
    name: 'x509_svid_key_type',
    read: readKeyType,
    absent: '' as SvidKeyType | '',
    column: {
      toColumn: (value: SvidKeyType | '') => value,
      fromColumn: (stored: string) => keyTypeOf(stored),
    },
    show: same,
    schema: { type: 'string', enum: ['', ...SVID_KEY_TYPES], description: "empty: the server's default" },
    givenSchema: {
      anyOf: [{ type: 'string', enum: ['', 'default', ...SVID_KEY_TYPES] }, { type: 'null' }],
      description: "null, empty or default: the server's default",
    },
    flag: {
      option: '--x509-svid-key-type <ec-p256|rsa-2048>',
      help: `type of an X.509-SVID's key: ${SVID_KEY_TYPES.join(' or ')} (default: the server's)`,
      kind: 'text',
    },
    inSvid: true,
    decidesNobody: true,
  }),
  /** Seconds; 0: the server's default. */
  jwtSvidTtl: field({
    name: 'jwt_svid_ttl',
    read: readTtl,
    absent: 0,
    column: NUMBER,
    show: same,
    schema: TTL,
    givenSchema: GIVEN_TTL,
    flag: {
      option: '--jwt-svid-ttl <duration>',
      help: "how long a JWT-SVID lives (default: the server's)",
      kind: 'duration',
    },
    decidesNobody: true,
  }),
  dnsNames: field({
    name: 'dns_names',
    read: readDnsNames,
    absent: [] as readonly string[],
    column: TEXTS,
    show: same,
    schema: LIST_OF_TEXTS,
    flag: {
      option: '--dns <name>',
      help: 'a DNS name for the certificate; repeat for more',
      kind: 'texts',
      no: 'remove all DNS names',
      noOnUpdate: true,
    },
    inSvid: true,
    decidesNobody: true,
  }),
  federatesWith: field({
    name: 'federates_with',
    read: readFederatesWith,
    absent: [] as readonly TrustDomain[],
    column: listOf((domain: string) => (domain === EVERY_DOMAIN ? (domain as TrustDomain) : parseTrustDomain(domain))),
    show: (value): readonly string[] => value,
    schema: LIST_OF_TEXTS,
    flag: {
      option: '--federates-with <domain>',
      help: "another trust domain whose bundle callers get; repeat for more; '*' for every known one",
      kind: 'texts',
      no: 'remove all trust domains',
      noOnUpdate: true,
    },
    decidesNobody: true,
  }),
  /** At most 1024 characters. The hint `default` selects the entry for the SDS name `default`. */
  hint: field({
    name: 'hint',
    read: readHint,
    absent: '',
    column: TEXT,
    show: same,
    schema: { type: 'string', maxLength: 1024 },
    flag: { option: '--hint <text>', help: '"default" makes it the answer to the SDS name default', kind: 'text' },
    decidesNobody: true,
  }),
  /** Callers in containers may have it although none of its selectors is about the container. */
  allowContained: field({
    name: 'allow_contained',
    read: readAllowContained,
    absent: false,
    column: BOOLEAN,
    show: same,
    schema: {
      type: 'boolean',
      description: 'callers in containers may have it though no selector is a fact about the container',
    },
    flag: {
      option: '--allow-contained',
      help: 'callers in containers may have it, though it has no container selector such as docker:',
      kind: 'switch',
      no: 'they may not (the default)',
    },
  }),
  /** Expiry in milliseconds since the epoch; 0: never. From then on nothing is issued. */
  expiresAt: field({
    name: 'expires_at',
    spireName: { name: 'entryExpiry', schema: { type: 'integer', minimum: 0 } },
    read: readExpiresAt,
    absent: 0,
    column: NUMBER,
    show: (value): string | null => (value === 0 ? null : timestamp(value)),
    schema: { anyOf: [TIMESTAMP, { type: 'null' }], description: 'null: never' },
    givenSchema: {
      anyOf: [TIMESTAMP, { type: 'integer', minimum: 0 }, { type: 'null' }, EPOCH_TEXT, { const: 'never' }],
      description: 'RFC 3339 or epoch seconds; null, 0 or never: it does not expire',
    },
    flag: {
      option: '--expires-at <time>',
      help: 'RFC 3339, epoch seconds or never: nothing is issued from then on',
      kind: 'instant',
    },
    inSvid: true,
    decidesNobody: true,
  }),
  /** Milliseconds since the epoch. */
  createdAt: field({ name: 'created_at', column: NUMBER, show: timestamp, schema: TIMESTAMP }),
  /** Milliseconds since the epoch. */
  updatedAt: field({ name: 'updated_at', column: NUMBER, show: timestamp, schema: TIMESTAMP, decidesNobody: true }),
  /** 1 at first; increases by one with each change. */
  revisionNumber: field({
    name: 'revision_number',
    column: NUMBER,
    show: same,
    schema: { type: 'integer', minimum: 1 },
    givenSchema: { anyOf: [{ type: 'integer' }, EPOCH_TEXT] },
    decidesNobody: true,
  }),
  /**
   * The source that declares it: `api` for REST and the command line, `file` for `--entries`, or a name given to PUT.
   */
  source: field({ name: 'source', column: TEXT, show: same, schema: { type: 'string' }, decidesNobody: true }),
};

type Fields = typeof ENTRY_FIELDS;

/**
 * A registration entry: callers that have all of `selectors`, and none of the negated ones, may have the identity
 * `spiffeId`, or the one that this template renders for them. Immutable; an update creates a new object.
 */
export type Entry = {
  readonly [F in keyof Fields]: Fields[F] extends EntryField<string, infer T, infer _> ? T : never;
};

/** An entry in the admin API, command line output and files; no member is optional. */
export type EntryJson = {
  readonly [F in keyof Fields as Fields[F]['name']]: ReturnType<Fields[F]['show']>;
};

/** A database row. */
export type EntryRow = Record<Fields[keyof Fields]['name'], string | number>;

/** All rows of {@link ENTRY_FIELDS}. */
export const ENTRY_FIELD_LIST = Object.entries(ENTRY_FIELDS) as unknown as readonly [
  keyof Entry,
  EntryField<keyof EntryJson, never, never>,
][];
