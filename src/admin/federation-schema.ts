/** JSON schemas of federation relationships. */

import Type, { type Static, type TSchema } from 'typebox';
import { RELATIONSHIP_STATES } from '../federation/index.ts';
import { ENDPOINT_PROFILES } from '../registry/index.ts';
import { WARNINGS } from './schema.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const maybe = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const MaybeTime = Type.Union([Timestamp, Type.Null()]);
const MaybeText = Type.Union([Type.String(), Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

const FetchedBundle = titled(
  'RelationshipBundle',
  Type.Object(
    {
      source: Type.Enum(['manual', 'polled'], { description: 'set by hand, or fetched from the endpoint' }),
      spiffe_sequence: Type.String({ description: 'as a text, since it may have 64 bits' }),
      spiffe_refresh_hint: Type.Union([Count, Type.Null()], { description: 'seconds' }),
      x509_authorities: Count,
      jwt_authorities: Count,
      expires_at: Type.Union([Timestamp, Type.Null()], { description: 'when the last of the X.509 authorities ends' }),
      updated_at: Timestamp,
    },
    CLOSED,
  ),
);

const given = {
  trust_domain: Type.String(),
  bundle_endpoint_url: Type.String({ description: 'https, without user name; kept byte for byte' }),
  bundle_endpoint_profile: Type.Enum([...ENDPOINT_PROFILES]),
};

const relationship = {
  ...given,
  bundle_endpoint_url: Type.String({
    description: 'whole only for the role admin, of one relationship; elsewhere a query is shown as ?…',
  }),
  endpoint_spiffe_id: Type.Union([Type.String(), Type.Null()], { description: 'of https_spiffe' }),
  endpoint_ca: Type.Union([Type.String(), Type.Null()], {
    description: 'of https_web: PEM, in place of the public CAs',
  }),
  revision_number: Type.Integer({ minimum: 1, description: 'for If-Match' }),
  created_at: Timestamp,
  updated_at: Timestamp,
  state: Type.Enum([...RELATIONSHIP_STATES], {
    description:
      'new: not fetched since the start; fresh; failing: the last good bundle stays; stale-bootstrap: a new bundle has to be given by hand; revoked: the partner published no authority',
  }),
  last_attempt_at: MaybeTime,
  last_success_at: MaybeTime,
  next_poll_at: Type.Union([Timestamp, Type.Null()], { description: 'null while a fetch runs' }),
  failures: Type.Integer({ minimum: 0, description: 'since the last success' }),
  error: maybe(
    titled('FetchError', Type.Object({ reason: Type.String(), message: Type.String(), fix: MaybeText }, CLOSED)),
  ),
  address: Type.Union([Type.String(), Type.Null()], { description: 'that answered last' }),
  ignored: Type.Array(Type.String(), { description: 'parts of the last document that were ignored: place and rule' }),
  bundle: maybe(FetchedBundle),
};

const Relationship = titled('Relationship', Type.Object(relationship, CLOSED));

export const RELATIONSHIP = Relationship;
export const RELATIONSHIPS = titled('Relationships', Type.Object({ relationships: Type.Array(Relationship) }, CLOSED));

export const CHANGED_RELATIONSHIP = titled(
  'ChangedRelationship',
  Type.Object(
    {
      ...relationship,
      change: Type.Enum(['created', 'changed', 'unchanged']),
      bundle_set: Type.Boolean({ description: 'whether the given bundle was set' }),
      warnings: WARNINGS,
    },
    CLOSED,
  ),
);

export const RELATIONSHIP_PREVIEW = titled(
  'RelationshipPreview',
  Type.Object(
    { change: Type.Enum(['created', 'changed', 'unchanged']), bundle_set: Type.Boolean(), warnings: WARNINGS },
    CLOSED,
  ),
);

/** The answer of a PUT: with dry_run, only what would change. */
export const SET_RELATIONSHIP = titled('SetRelationship', Type.Union([CHANGED_RELATIONSHIP, RELATIONSHIP_PREVIEW]));

export const REFRESHED_RELATIONSHIP = titled(
  'RefreshedRelationship',
  Type.Object({ ...relationship, changed: Type.Boolean({ description: 'whether another bundle was stored' }) }, CLOSED),
);

export const RELATIONSHIP_INPUT = titled(
  'RelationshipInput',
  Type.Object(
    {
      ...given,
      trust_domain: Type.Optional(Type.String({ description: 'may be left out if the path has it' })),
      endpoint_spiffe_id: Type.Optional(MaybeText),
      endpoint_ca: Type.Optional(MaybeText),
      trust_domain_bundle: Type.Optional(
        Type.Union([Type.String(), Type.Object({}), Type.Null()], {
          description: 'the bundle by which an https_spiffe endpoint is first known: PEM as a text, or a SPIFFE bundle',
        }),
      ),
      trust_domain_bundle_format: Type.Optional(Type.Union([Type.Enum(['pem', 'spiffe']), Type.Null()])),
    },
    { ...CLOSED, description: 'the names of the fields may also be those of federation.json' },
  ),
);

export const RELATIONSHIP_PARAMS = Type.Object({ trust_domain: Type.String() });

export const SET_RELATIONSHIP_QUERY = Type.Object(
  {
    only_existing: Type.Optional(Type.Boolean({ default: false, description: 'refuse to create one' })),
    dry_run: Type.Optional(Type.Boolean({ default: false, description: 'only say what would change' })),
    bundle: Type.Optional(
      // Query strings are read by the type, which an enum of TypeBox does not have.
      Type.Unsafe<'needed' | 'replace'>({
        type: 'string',
        enum: ['needed', 'replace'],
        default: 'needed',
        description:
          'needed: set the given bundle only if there is none, or the present one no longer authenticates the endpoint',
      }),
    ),
  },
  CLOSED,
);

export const REFRESH_QUERY = Type.Object(
  {
    force: Type.Optional(
      Type.Boolean({ default: false, description: 'take a bundle with a lower sequence number, or without one' }),
    ),
  },
  CLOSED,
);

export type RelationshipViewJson = Static<typeof Relationship>;
