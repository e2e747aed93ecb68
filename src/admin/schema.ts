/**
 * The shapes of the admin API's JSON. Entries that come in are read by the registry's own rules, which also hold for
 * files; the schemas here are what the API says of itself.
 */

import Type, { type Static } from 'typebox';

const CLOSED = { additionalProperties: false } as const;

const Selector = Type.Object({ type: Type.String({ minLength: 1 }), value: Type.String({ minLength: 1 }) }, CLOSED);
const GivenSelector = Type.Union([
  Selector,
  Type.String({ pattern: '^[^:]+:.+', description: 'both as one text: unix:uid:1000' }),
]);
const WHOEVER = { minItems: 1, description: 'whoever has all of them may be the SPIFFE ID' } as const;
const Ttl = Type.Integer({ minimum: 0, description: "seconds; 0: the server's default" });

const settable = {
  spiffe_id: Type.String({ description: 'spiffe://<trust domain>/<path>' }),
  selectors: Type.Array(GivenSelector, WHOEVER),
  parent_id: Type.String({ description: 'kept and echoed; it grants nothing' }),
  x509_svid_ttl: Ttl,
  jwt_svid_ttl: Ttl,
  dns_names: Type.Array(Type.String()),
  federates_with: Type.Array(Type.String()),
  hint: Type.String({ maxLength: 1024 }),
  allow_contained: Type.Boolean({
    description: 'callers in containers may have it though no selector is a fact about the container',
  }),
};

const Timestamp = Type.String({ format: 'date-time' });
const ExpiresAt = Type.Union([Timestamp, Type.Integer({ minimum: 0 }), Type.Null()], {
  description: 'RFC 3339 or epoch seconds; null or 0: never',
});
/** What SPIRE's entries can be and Sidekey's can't. */
const Refused = Type.Literal(false);

/** An entry as it is shown. */
export const ENTRY = Type.Object(
  {
    id: Type.String(),
    ...settable,
    selectors: Type.Array(Selector, WHOEVER),
    expires_at: Type.Union([Timestamp, Type.Null()], { description: 'null: never' }),
    created_at: Timestamp,
    updated_at: Timestamp,
    revision_number: Type.Integer({ minimum: 1 }),
    source: Type.String(),
  },
  CLOSED,
);

/** What may stand in an entry that is given besides the settable members. */
const tolerated = {
  id: Type.String({ pattern: '^[A-Za-z0-9._-]{1,255}$' }),
  expires_at: ExpiresAt,
  // Read back and given again: ignored.
  created_at: Timestamp,
  updated_at: Timestamp,
  revision_number: Type.Integer(),
  source: Type.String(),
  // SPIRE's names for files.
  entry_id: Type.String(),
  entryExpiry: Type.Integer({ minimum: 0 }),
  admin: Refused,
  downstream: Refused,
  store_svid: Refused,
  additional_attributes: Type.Object({}),
};

export const ENTRY_PATCH = Type.Partial(Type.Object({ ...settable, ...tolerated }), CLOSED);

/** An entry as it is given. */
export const ENTRY_INPUT = Type.Object(
  { ...ENTRY_PATCH.properties, spiffe_id: settable.spiffe_id, selectors: settable.selectors },
  CLOSED,
);

export const NEW_ENTRIES = Type.Union([
  ENTRY_INPUT,
  Type.Object({ entries: Type.Array(ENTRY_INPUT, { minItems: 1 }) }, CLOSED),
]);

export const MADE_ENTRIES = Type.Union([ENTRY, Type.Object({ entries: Type.Array(ENTRY) }, CLOSED)]);

/** Of routes that say nothing of parameters. */
export const NO_QUERY = Type.Object({});

export const ENTRY_QUERY = Type.Object({
  spiffe_id: Type.Optional(Type.String({ description: 'one SPIFFE ID' })),
  selector: Type.Optional(
    Type.Array(Type.String(), { description: 'type:value; an entry must have all that are given' }),
  ),
  hint: Type.Optional(Type.String({ description: 'one hint' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'it is an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.String({ description: 'the next_cursor of the page before' })),
});

export const ENTRY_PAGE = Type.Object(
  { entries: Type.Array(ENTRY), next_cursor: Type.String({ description: 'empty on the last page' }) },
  CLOSED,
);

export const ENTRY_PARAMS = Type.Object({ id: Type.String() });

export const IF_MATCH = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'the revision_number that the change is meant for' })),
});

export const SOURCE_QUERY = Type.Object({
  dry_run: Type.Boolean({ default: false, description: 'it is true or false' }),
});

export const SOURCE_ENTRIES = Type.Object(
  {
    source: Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$', description: 'whose entries these are, all of them' }),
    entries: Type.Array(ENTRY_INPUT),
  },
  CLOSED,
);

export const SOURCE_CHANGES = Type.Object(
  {
    created: Type.Array(ENTRY),
    changed: Type.Array(ENTRY),
    deleted: Type.Array(ENTRY),
    kept: Type.Array(ENTRY),
  },
  CLOSED,
);

/** @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4 */
export const BUNDLE = Type.Object({
  keys: Type.Array(
    Type.Object({
      kty: Type.String(),
      use: Type.String({ description: 'x509-svid; keys of other uses are ignored' }),
      x5c: Type.Optional(Type.Array(Type.String(), { description: 'of x509-svid: one CA certificate, DER in base64' })),
    }),
  ),
  spiffe_sequence: Type.Optional(Type.Integer({ minimum: 0, description: 'grows with each change' })),
  spiffe_refresh_hint: Type.Optional(Type.Integer({ minimum: 0, description: 'seconds' })),
});

export const BUNDLE_PARAMS = Type.Object({ trust_domain: Type.String() });

const foreignBundle = {
  trust_domain: Type.String(),
  spiffe_sequence: Type.Integer({ minimum: 0 }),
  spiffe_refresh_hint: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { description: 'seconds' }),
  authorities: Type.Integer({ minimum: 1, description: 'how many it has' }),
  expires_at: Type.String({ format: 'date-time', description: 'when the last of them ends' }),
  updated_at: Timestamp,
};

const ForeignBundle = Type.Object(foreignBundle, CLOSED);

/** What is told of another trust domain's bundle in a list. */
export type BundleJson = Static<typeof ForeignBundle>;

export const BUNDLES = Type.Object({ bundles: Type.Array(ForeignBundle) }, CLOSED);

const Problem = Type.Object({ path: Type.String(), problem: Type.String(), rule: Type.String() }, CLOSED);
const warnings = Type.Array(Problem, { description: 'what was taken, but will hardly do what was meant' });

export const SET_BUNDLE = Type.Object({ ...foreignBundle, warnings }, CLOSED);

const alias = {
  host: Type.String({ description: 'in lower case' }),
  spiffe_id: settable.spiffe_id,
  created_at: Timestamp,
  updated_at: Timestamp,
};

export const ALIAS = Type.Object(alias, CLOSED);

export type AliasJson = Static<typeof ALIAS>;

export const ALIASES = Type.Object({ aliases: Type.Array(ALIAS) }, CLOSED);
export const ALIAS_PARAMS = Type.Object({ host: Type.String() });
export const ALIAS_INPUT = Type.Object({ spiffe_id: settable.spiffe_id }, CLOSED);
export const SET_ALIAS = Type.Object({ ...alias, warnings }, CLOSED);

export const NOTHING = Type.Null();

export const HEALTH = Type.Object({ status: Type.Literal('ok') });
export const READINESS = Type.Object({ status: Type.Literal('ready') });

export const DOCUMENT = Type.Object({ openapi: Type.String(), paths: Type.Object({}) });

/** @see https://www.rfc-editor.org/rfc/rfc9457 */
export const PROBLEM = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String({ description: 'stable; docs/errors.md lists them' }),
  errors: Type.Optional(Type.Array(Problem)),
  entry: Type.Optional(ENTRY),
  index: Type.Optional(Type.Integer({ minimum: 0, description: '409: which of the entries that were given' })),
  revision_number: Type.Optional(Type.Integer({ minimum: 1, description: '412: the revision that the entry is at' })),
});
