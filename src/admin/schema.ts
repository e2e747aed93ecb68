/**
 * JSON schemas of the admin API. Given entries are read by the registry's own rules, which also apply to
 * files; the schemas here only describe the API.
 */

import Type, { type Static } from 'typebox';
import { ERRORS, type ErrorCode, ROLES } from '../base/index.ts';
import { ENTRY_FIELD_LIST, ENTRY_FIELDS, type EntryJson, GIVEN_FIELDS, GIVEN_PROPERTIES } from '../registry/index.ts';
import { JWT_ALGORITHMS } from '../spiffe/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;

const SpiffeId = Type.Unsafe<string>(ENTRY_FIELDS.spiffeId.schema);
const Timestamp = Type.String({ format: 'date-time' });

/** An entry in answers. */
export const ENTRY = titled(
  'Entry',
  Type.Object(Object.fromEntries(ENTRY_FIELD_LIST.map(([, { name, schema }]) => [name, schema])), CLOSED),
);

/** Required fields: they have no default, and the registry does not set them. */
const REQUIRED = ENTRY_FIELD_LIST.filter(([key]) => key === 'spiffeId' || key === 'selectors');

export const ENTRY_PATCH = titled('EntryPatch', Type.Partial(Type.Object({ ...GIVEN_PROPERTIES }), CLOSED));

/** An entry in requests. */
export const ENTRY_INPUT = titled(
  'EntryInput',
  Type.Object(
    {
      ...ENTRY_PATCH.properties,
      ...Object.fromEntries(REQUIRED.map(([, { name }]) => [name, GIVEN_FIELDS[name]!])),
    },
    CLOSED,
  ),
);

export const NEW_ENTRIES = titled(
  'NewEntries',
  Type.Union([
    ENTRY_INPUT,
    Type.Object(
      {
        entries: Type.Array(ENTRY_INPUT, { minItems: 1 }),
        next_page_token: Type.Optional(Type.Literal('', { description: 'as an export of SPIRE has it' })),
      },
      CLOSED,
    ),
  ]),
);

export const INPUT_PROBLEM = titled(
  'InputProblem',
  Type.Object({ path: Type.String(), problem: Type.String(), rule: Type.String() }, CLOSED),
);
const warnings = Type.Array(INPUT_PROBLEM, {
  description: 'problems of accepted input that probably does not do what was meant',
});
/** Answers have the member `warnings` only if there are any. */
const someWarnings = { warnings: Type.Optional(warnings) };

/** An entry after a change. */
export const MADE_ENTRY = titled('ChangedEntry', Type.Object({ ...ENTRY.properties, ...someWarnings }, CLOSED));

export const MADE_ENTRIES = titled(
  'ChangedEntries',
  Type.Union([MADE_ENTRY, Type.Object({ entries: Type.Array(ENTRY), ...someWarnings }, CLOSED)]),
);

/** Parameters of routes that declare none. */
export const NO_QUERY = Type.Object({});

export const ENTRY_QUERY = Type.Object({
  spiffe_id: Type.Optional(Type.String({ description: 'one SPIFFE ID' })),
  selector: Type.Optional(
    Type.Array(Type.String(), { description: 'type:value; an entry must have all given selectors' }),
  ),
  hint: Type.Optional(Type.String({ description: 'one hint' })),
  search: Type.Optional(
    Type.String({
      maxLength: 300,
      description:
        'part of the id, the SPIFFE ID, the hint, a selector or a DNS name, in any case; a page may then be short, even empty, before the last one',
    }),
  ),
  source: Type.Optional(Type.String({ description: 'one source: api, file, or a name given to PUT' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.String({ description: 'the next_cursor of the previous page' })),
});

export const ENTRY_PAGE = titled(
  'EntryPage',
  Type.Object(
    { entries: Type.Array(ENTRY), next_cursor: Type.String({ description: 'empty on the last page' }) },
    CLOSED,
  ),
);

export const ENTRY_PARAMS = Type.Object({ id: Type.String() });

export const IF_MATCH = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      pattern: '^([0-9]{1,15}|"[0-9]{1,15}"|[*])$',
      description: 'the revision_number that the entry must have; *: any',
    }),
  ),
});

export const SOURCE_QUERY = Type.Object({
  dry_run: Type.Boolean({ default: false, description: 'give true or false' }),
  prune: Type.Boolean({
    default: true,
    description: 'give true or false: whether entries of the source that are not in the list are deleted',
  }),
  adopt: Type.Boolean({
    default: false,
    description: "give true or false: whether other sources' entries that are in the list are taken over",
  }),
});

export const SOURCE_ENTRIES = titled(
  'SourceEntries',
  Type.Object(
    {
      source: Type.String({
        pattern: '^[A-Za-z0-9._-]{1,64}$',
        description: 'the source that declares exactly these entries',
      }),
      entries: Type.Array(ENTRY_INPUT),
    },
    CLOSED,
  ),
);

const Differences = Type.Array(
  Type.Object(
    {
      id: Type.String(),
      spiffe_id: SpiffeId,
      fields: Type.Array(Type.Object({ name: Type.String(), before: Type.Unknown(), after: Type.Unknown() }, CLOSED)),
    },
    CLOSED,
  ),
  { description: 'for each changed entry the fields that differ' },
);

const SpiffeIds = Type.Array(SpiffeId);

/** What a write would change for connected callers. */
export const EFFECTS = titled(
  'Effects',
  Type.Object(
    {
      callers: Type.Array(
        Type.Object(
          {
            pid: Type.Integer(),
            uid: Type.Integer(),
            owner: Type.String({ description: 'the user or container' }),
            connections: Type.Integer({ minimum: 1 }),
            gained: SpiffeIds,
            lost: SpiffeIds,
            changed: Type.Array(SpiffeId, { description: 'the certificate would differ' }),
            may_gain: Type.Array(Type.String(), {
              description: 'depends on facts that were not read; a template stands for what it would make',
            }),
            default: Type.Union(
              [
                Type.Object(
                  {
                    before: Type.Union([SpiffeId, Type.Null()]),
                    after: Type.Union([SpiffeId, Type.Null()]),
                  },
                  CLOSED,
                ),
                Type.Null(),
              ],
              { description: 'the identity under the name default, if that would change' },
            ),
          },
          CLOSED,
        ),
      ),
      more: Type.Integer({ minimum: 0, description: 'affected processes that are not listed' }),
      unread: Type.Integer({ minimum: 0, description: 'processes some of whose facts could not be read' }),
    },
    CLOSED,
  ),
);

export type EffectsJson = Static<typeof EFFECTS>;

export const SOURCE_CHANGES = titled(
  'SourceChanges',
  Type.Object(
    {
      created: Type.Array(ENTRY),
      changed: Type.Array(ENTRY),
      deleted: Type.Array(ENTRY),
      kept: Type.Array(ENTRY, { description: 'they were equal to the list already' }),
      absent: Type.Array(ENTRY, { description: 'they are not in the list and stay, because of prune=false' }),
      differences: Differences,
      effects: Type.Optional(EFFECTS),
      ...someWarnings,
    },
    CLOSED,
  ),
);

/** The same, with the types of its parts. */
export interface SourceChangesJson {
  readonly created: readonly EntryJson[];
  readonly changed: readonly EntryJson[];
  readonly deleted: readonly EntryJson[];
  readonly kept: readonly EntryJson[];
  readonly absent: readonly EntryJson[];
  readonly differences: Static<typeof Differences>;
  readonly effects?: EffectsJson;
  readonly warnings?: readonly Static<typeof INPUT_PROBLEM>[];
}

/** @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4 */
export const BUNDLE = titled(
  'Bundle',
  Type.Object({
    keys: Type.Array(
      Type.Object({
        kty: Type.String(),
        use: Type.String({ description: 'x509-svid or jwt-svid; keys of other uses are ignored' }),
        kid: Type.Optional(Type.String({ description: 'of jwt-svid' })),
        x5c: Type.Optional(
          Type.Array(Type.String(), { description: 'of x509-svid: one CA certificate, DER in base64' }),
        ),
      }),
    ),
    spiffe_sequence: Type.Optional(Type.Integer({ minimum: 0, description: 'grows with each change' })),
    spiffe_refresh_hint: Type.Optional(Type.Integer({ minimum: 0, description: 'seconds' })),
  }),
);

/** @see https://www.rfc-editor.org/rfc/rfc7517 section 5 */
export const JWKS = titled(
  'Jwks',
  Type.Object({
    keys: Type.Array(
      Type.Object({
        kid: Type.String(),
        kty: Type.String(),
        use: Type.Literal('sig'),
        alg: Type.Enum([...JWT_ALGORITHMS]),
      }),
    ),
  }),
);

export const BUNDLE_QUERY = Type.Object(
  {
    lists: Type.Optional(
      Type.Boolean({ default: false, description: 'in PEM, with the revocation lists after the certificates' }),
    ),
  },
  CLOSED,
);

export const BUNDLE_PARAMS = Type.Object({ trust_domain: Type.String() });

const foreignBundle = {
  trust_domain: Type.String(),
  spiffe_sequence: Type.Integer({ minimum: 0 }),
  spiffe_refresh_hint: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { description: 'seconds' }),
  source: Type.Enum(['manual', 'polled'], { description: 'set by hand, or fetched for a federation relationship' }),
  authorities: Type.Integer({ minimum: 0, description: 'the number of X.509 authorities; 0: all are withdrawn' }),
  expires_at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
    description: 'when the last of the authorities ends',
  }),
  updated_at: Timestamp,
};

const ForeignBundle = titled('ForeignBundle', Type.Object(foreignBundle, CLOSED));

/** A bundle of another trust domain in a list. */
export type BundleJson = Static<typeof ForeignBundle>;

export const BUNDLES = titled('ForeignBundles', Type.Object({ bundles: Type.Array(ForeignBundle) }, CLOSED));

export const SET_BUNDLE = titled('ChangedForeignBundle', Type.Object({ ...foreignBundle, warnings }, CLOSED));

const alias = {
  host: Type.String({ description: 'in lower case' }),
  spiffe_id: SpiffeId,
  created_at: Timestamp,
  updated_at: Timestamp,
};

export const ALIAS = titled('Alias', Type.Object(alias, CLOSED));

export type AliasJson = Static<typeof ALIAS>;

export const ALIASES = titled('Aliases', Type.Object({ aliases: Type.Array(ALIAS) }, CLOSED));
export const ALIAS_PARAMS = Type.Object({ host: Type.String() });
export const ALIAS_INPUT = titled('AliasInput', Type.Object({ spiffe_id: SpiffeId }, CLOSED));
export const SET_ALIAS = titled('ChangedAlias', Type.Object({ ...alias, warnings }, CLOSED));

export const WARNINGS = warnings;

export const NOTHING = Type.Null();

export const HEALTH = titled('Health', Type.Object({ status: Type.Literal('ok') }, CLOSED));

const READINESS_PART = titled(
  'ReadinessPart',
  Type.Object(
    {
      name: { ...Type.String(), description: 'admin_socket, admin_tcp, socket (the agent socket) or authority' },
      ready: Type.Boolean(),
      since: { ...Timestamp, description: 'since when it is ready, or is not' },
      reason: { ...Type.Union([Type.String(), Type.Null()]), description: 'why it is not ready' },
    },
    CLOSED,
  ),
);
export type ReadinessPartJson = Static<typeof READINESS_PART>;
export const READINESS = titled(
  'Readiness',
  Type.Object(
    {
      status: Type.Literal('ready'),
      parts: Type.Array(READINESS_PART),
      warnings: Type.Optional(Type.Array(Type.String(), { description: 'what works only for now' })),
    },
    CLOSED,
  ),
);

/** Text that is not JSON. */
export const TEXT = Type.String();

export const DOCUMENT = titled('OpenApiDocument', Type.Object({ openapi: Type.String(), paths: Type.Object({}) }));

const CODES = Object.keys(ERRORS) as ErrorCode[];

/** @see https://www.rfc-editor.org/rfc/rfc9457 */
export const PROBLEM = titled(
  'Problem',
  Type.Object(
    {
      type: Type.String(),
      title: Type.String(),
      status: Type.Integer(),
      detail: Type.String(),
      code: Type.Enum([...CODES], { description: 'stable; docs/errors.md explains them; new ones may be added' }),
      errors: Type.Optional(Type.Array(INPUT_PROBLEM)),
      entry: Type.Optional(ENTRY),
      index: Type.Optional(
        Type.Integer({ minimum: 0, description: '409: the position of the refused entry in the request' }),
      ),
      revision_number: Type.Optional(
        Type.Integer({ minimum: 1, description: '412: the present revision of the entry' }),
      ),
      parts: Type.Optional(Type.Array(READINESS_PART, { description: '503 of /readyz: all parts' })),
      reason: Type.Optional(
        Type.String({
          description: '502 of a federation relationship: the reason, as in the error of the relationship',
        }),
      ),
      needed_role: Type.Optional(Type.Enum([...ROLES], { description: '403: the least role that is needed' })),
    },
    CLOSED,
  ),
);
