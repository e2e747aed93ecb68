/** JSON schemas of proxies, shared by lists and events. */

import Type, { type Static } from 'typebox';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeTimestamp = Type.Union([Timestamp, Type.Null()]);
const MaybeText = Type.Union([Type.String(), Type.Null()]);

/** The states of a secret in the ledger; `sds/secret-report.ts` decides them. */
export const STATES = ['held', 'unknown', 'sent', 'in_sync', 'rejected', 'stale'] as const;
const State = Type.Enum([...STATES]);

const number = { minimum: 0, maximum: 4_294_967_295 } as const;

export const PROXY_QUERY = Type.Object({
  state: Type.Optional(
    Type.Array(Type.String({ enum: [...STATES] }), {
      description: `each is one of ${STATES.join(', ')}; a secret has one of those that are given`,
    }),
  ),
  spiffe_id: Type.Optional(Type.String({ description: 'only secrets of this SPIFFE ID, including held names' })),
  name: Type.Optional(Type.String({ description: 'only secrets that are requested by this name' })),
  node: Type.Optional(Type.String({ description: 'only proxies with this node id' })),
  pid: Type.Optional(Type.Integer({ ...number, description: 'give the pid of a process' })),
  uid: Type.Optional(Type.Integer({ ...number, description: 'give the uid of a user' })),
  connection: Type.Optional(Type.String({ description: 'only this connection' })),
  history: Type.Boolean({ default: false, description: 'also find out issued_before of held names' }),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.Integer({ minimum: 1, description: 'give the next_cursor of the previous page' })),
});

export type ProxyQuery = Static<typeof PROXY_QUERY>;

const Held = Type.Object(
  {
    reason: Type.String({ description: 'pending while the secret is being looked up' }),
    detail: Type.String(),
    since: Timestamp,
    decision: { ...MaybeText, description: 'the id of the recorded decision; null while pending' },
    issued_before: {
      ...Type.Union([Type.Boolean(), Type.Null()]),
      description: 'with history=true, where no entry gives the SPIFFE ID: whether an SVID of it was ever issued',
    },
  },
  CLOSED,
);
const Rejection = Type.Object({ version: Type.String(), message: Type.String(), at: Timestamp }, CLOSED);

const SECRET = Type.Object(
  {
    name: Type.String(),
    state: State,
    held: Type.Union([Held, Type.Null()], { description: 'why there is no secret for the name now' }),
    version: { ...MaybeText, description: 'the version sent last, or that the client reported' },
    sent_at: MaybeTimestamp,
    acked: { ...MaybeText, description: 'the version acknowledged last' },
    acked_at: MaybeTimestamp,
    rejection: Type.Union([Rejection, Type.Null()], { description: 'the last answer, if it was a NACK' }),
    spiffe_id: { ...MaybeText, description: 'SPIFFE ID of the certificate sent last; null for a bundle' },
    serial: MaybeText,
    authority_id: { ...MaybeText, description: 'key identifier of the authority that issued it' },
    not_before: MaybeTimestamp,
    expires_at: MaybeTimestamp,
  },
  CLOSED,
);

export type SecretJson = Static<typeof SECRET>;

const stream = {
  id: Type.Integer({ minimum: 1 }),
  service: Type.Enum(['sds', 'ads', 'workload-api']),
  variant: Type.Enum(['sotw', 'delta', 'x509-svids', 'x509-bundles', 'jwt-bundles']),
  opened_at: Timestamp,
};

export type StreamJson = Static<typeof STREAM>;

const STREAM = Type.Object({ ...stream, secrets: Type.Array(SECRET) }, CLOSED);

const proxy = {
  connection: Type.String({ description: 'as in the log' }),
  pid: Type.Integer({ description: '0: outside the pid namespace of the server' }),
  uid: Type.Integer(),
  gid: Type.Integer(),
  owner: Type.String({ description: 'the owner for limits: a user or a container' }),
  selectors: Type.Array(Type.String(), {
    description: 'type:value, as attested; of a container only those that an entry asks for',
  }),
  node_id: { ...MaybeText, description: 'null before the first request' },
  cluster: MaybeText,
  envoy_version: MaybeText,
};

export type ProxyJson = Static<typeof PROXY>;

const PROXY = Type.Object({ ...proxy, streams: Type.Array(STREAM) }, CLOSED);

export const PROXY_PAGE = titled(
  'ProxyPage',
  Type.Object(
    {
      at: { ...Timestamp, description: 'the time of the report, by the clock of the server' },
      proxies: Type.Array(PROXY),
      next_cursor: Type.String({ description: 'empty on the last page' }),
    },
    CLOSED,
  ),
);

export type ProxyPageJson = Static<typeof PROXY_PAGE>;
