/** JSON schemas of the authorities. */

import Type, { type Static } from 'typebox';
import { AUTHORITY_STATES, type AuthorityStateName } from '../ca/index.ts';
import { AUTHORITY_KEY_TYPES } from '../spiffe/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Role = Type.Union([Type.Literal('root'), Type.Literal('intermediate'), Type.Literal('jwt')], {
  description: 'jwt: a key that signs JWT-SVIDs',
});

const LaggingProxyObject = titled(
  'LaggingProxy',
  Type.Object(
    {
      pid: Type.Integer(),
      uid: Type.Integer(),
      node_id: Type.Union([Type.String(), Type.Null()]),
      name: Type.String({ description: 'the name of the secret' }),
      rejection: Type.Union([Type.String(), Type.Null()], { description: 'the text of its NACK' }),
    },
    CLOSED,
  ),
);

const Authority = titled(
  'Authority',
  Type.Object(
    {
      id: Type.String({
        description:
          "lower-case hex: subject key identifier; of an upstream's root, the first 20 bytes of the SHA-256 of its certificate; of a JWT key, its kid",
      }),
      role: Role,
      key_type: Type.Union([Type.Enum([...AUTHORITY_KEY_TYPES]), Type.Null()], {
        description: "null: an upstream's root with a key of another type",
      }),
      state: Type.Unsafe<AuthorityStateName>({
        type: 'string',
        enum: AUTHORITY_STATES,
        description:
          'an active one signs, all others sign nothing; roots and JWT keys are in the bundle except for prepared ones; tainted: the key may have leaked; carried: a root of another server of this trust domain',
      }),
      since: Timestamp,
      not_before: Timestamp,
      not_after: Timestamp,
      subject: Type.String({ description: 'empty for a JWT key' }),
      is_upstreams: Type.Boolean({
        description: 'the key of the root is not here: it belongs to an upstream, or is offline',
      }),
      signs_after: Type.Union([Timestamp, Type.Null()], {
        description:
          'of the published root that is next: when it signs if all proxies have acknowledged it by then; of the published JWT key: when it signs',
      }),
      fetched_at: Type.Union([Timestamp, Type.Null()], {
        description:
          'of an authority that is to sign next: it does not sign before, since other trust domains may not have fetched the bundle with it; null: they do not fetch it',
      }),
      leaves_at: Type.Union([Timestamp, Type.Null()], { description: 'of a carried root: when it leaves the bundle' }),
      waits_for: Type.Array(LaggingProxyObject, {
        description:
          'of a published root: proxies that have not acknowledged the bundle with it; of a tainted authority: those that may still use an SVID of it; at most 100',
      }),
    },
    CLOSED,
  ),
);

const Upstream = titled(
  'Upstream',
  Type.Object(
    {
      kind: Type.String(),
      description: Type.String(),
      problem: Type.Union([Type.String(), Type.Null()], {
        description: 'why it cannot sign an intermediate now, or after a restart',
      }),
      signs_meanwhile: Type.Boolean({ description: 'it signs in spite of the problem, until a restart' }),
      request: Type.Union(
        [Type.Object({ file: Type.String(), csr: Type.String({ description: 'PKCS#10, PEM' }) }, CLOSED), Type.Null()],
        { description: 'the request that an offline root must sign' },
      ),
    },
    CLOSED,
  ),
);

export const AUTHORITIES = titled(
  'Authorities',
  Type.Object(
    {
      authorities: Type.Array(Authority),
      upstream: Type.Union([Upstream, Type.Null()], {
        description: 'what signs the intermediates; null: own roots do',
      }),
    },
    CLOSED,
  ),
);
export type AuthoritiesJson = Static<typeof AUTHORITIES>;

export const AUTHORITY_PARAMS = Type.Object({ id: Type.String() });

export const ROTATE = titled('RotateRequest', Type.Object({ role: Role }, CLOSED));
export const CARRY = titled(
  'CarryRequest',
  Type.Object(
    { certificates: Type.String({ description: 'PEM' }), until: Type.String({ description: 'RFC 3339' }) },
    CLOSED,
  ),
);
export const IMPORT = titled('ImportRequest', Type.Object({ certificates: Type.String() }, CLOSED));
