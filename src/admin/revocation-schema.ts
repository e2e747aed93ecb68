/** JSON schemas of revocations. */

import Type, { type Static } from 'typebox';
import { MAX_REVOCATION_WAIT as MAX_WAIT, REVOCATION_REASON_NAMES as REASONS } from '../base/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeTimestamp = Type.Union([Timestamp, Type.Null()]);
const MaybeText = Type.Union([Type.String(), Type.Null()]);
const count = (description: string) => Type.Integer({ minimum: 0, description });

const Reason = Type.Enum([...REASONS], {
  description: 'RFC 5280 section 5.3.1; only certificate-hold can be undone',
});

const REVOCATION = titled(
  'Revocation',
  Type.Object(
    {
      serial: Type.String({ description: 'lower-case hex' }),
      spiffe_id: Type.String(),
      entry_id: Type.String(),
      authority_id: Type.String({ description: 'the intermediate that signed the certificate' }),
      expires_at: { ...Timestamp, description: 'when the certificate ends, and with it the revocation' },
      revoked_at: Timestamp,
      reason: Reason,
    },
    CLOSED,
  ),
);
export type RevocationJson = Static<typeof REVOCATION>;

const PROXY = titled(
  'RevocationProxy',
  Type.Object(
    {
      pid: Type.Integer(),
      uid: Type.Integer(),
      node_id: MaybeText,
      name: Type.String({ description: 'the name of the secret, or the method of the Workload API' }),
      state: Type.Enum(['refusing', 'informed', 'waiting', 'unreachable'], {
        description:
          'refusing: it acknowledged the present lists; informed: it read them over the Workload API, whose clients may ignore them; waiting: it was sent them and has not; unreachable: it requests no bundle that has them',
      }),
      refusing_since: MaybeTimestamp,
      rejection: { ...MaybeText, description: 'the error text of its NACK' },
    },
    CLOSED,
  ),
);
export type RevocationProxyJson = Static<typeof PROXY>;

const proxies = {
  proxy_counts: Type.Object(
    { refusing: count(''), informed: count(''), waiting: count(''), unreachable: count('') },
    { ...CLOSED, description: 'all connected proxies, by state' },
  ),
  proxies: Type.Array(PROXY, { description: 'at most 1,000, those that do not refuse first' }),
};

const outcome = {
  published_at: {
    ...MaybeTimestamp,
    description: 'when the bundle with the lists was published; null: nothing was to be',
  },
  ...proxies,
};

export const REVOCATION_INPUT = titled(
  'RevocationInput',
  Type.Object(
    {
      serial: Type.Optional(Type.String({ description: 'of one certificate, in hex' })),
      spiffe_id: Type.Optional(Type.String({ description: 'all unexpired certificates that were issued for it' })),
      entry_id: Type.Optional(
        Type.String({ description: 'all unexpired certificates that were issued for it; it may be deleted already' }),
      ),
      reason: Type.Optional(Type.Enum([...REASONS], { default: 'unspecified' })),
      now: Type.Optional(
        Type.Boolean({
          default: false,
          description: 'publish the lists before the holders of the certificates have new ones',
        }),
      ),
      wait: Type.Optional(
        Type.Number({
          minimum: 0,
          maximum: MAX_WAIT,
          default: 0,
          description: 'how many seconds the answer may wait until all proxies refuse',
        }),
      ),
    },
    { ...CLOSED, description: 'exactly one of serial, spiffe_id and entry_id is given' },
  ),
);

export const REVOKED = titled(
  'Revoked',
  Type.Object(
    {
      revoked: Type.Array(REVOCATION, { description: 'those that this request revoked' }),
      already: count('certificates that were revoked before'),
      replaced: Type.Object(
        {
          asked: count('SPIFFE IDs whose holders were to get new certificates first'),
          acknowledged: count('those of them that were acknowledged in time'),
        },
        CLOSED,
      ),
      ...outcome,
    },
    CLOSED,
  ),
);
export type RevokedJson = Static<typeof REVOKED>;

export const RESTORED = titled('Restored', Type.Object({ restored: Type.Array(REVOCATION), ...outcome }, CLOSED));
export type RestoredJson = Static<typeof RESTORED>;

const LIST = titled(
  'RevocationList',
  Type.Object(
    {
      authority_id: Type.String(),
      role: Type.Enum(['root', 'intermediate']),
      entries: count('revoked certificates in it'),
      this_update: Timestamp,
      next_update: { ...Timestamp, description: 'Envoy refuses all certificates of the authority after that time' },
    },
    CLOSED,
  ),
);

export const REVOCATIONS = titled(
  'Revocations',
  Type.Object(
    {
      revocations: Type.Array(REVOCATION, { description: 'of certificates that have not ended, newest first' }),
      next_cursor: Type.String({ description: 'empty on the last page' }),
      total: count('revocations on all pages'),
      lists: Type.Array(LIST, { description: 'in the bundle now; empty if nothing is revoked' }),
      why_not: { ...MaybeText, description: 'why no certificate can be revoked now; null: one can' },
      ...proxies,
    },
    CLOSED,
  ),
);
export type RevocationsJson = Static<typeof REVOCATIONS>;

export const REVOCATIONS_QUERY = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.String({ description: 'the next_cursor of the previous page' })),
});

export const SERIAL_PARAMS = Type.Object({ serial: Type.String() });

const Wait = Type.Integer({
  minimum: 0,
  maximum: MAX_WAIT,
  default: 0,
  description: `give an integer from 0 to ${MAX_WAIT}: how many seconds the answer may wait until all proxies have the new lists`,
});

export const RESTORE_QUERY = Type.Object({ wait: Wait });

export const DELETE_QUERY = Type.Object({
  revoke: Type.Optional(
    Type.String({
      enum: [...REASONS],
      description: `revoke the unexpired certificates of the entry too, for one of the reasons ${REASONS.join(', ')}`,
    }),
  ),
  wait: Wait,
});
