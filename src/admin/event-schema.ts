/** JSON schemas of events about streams, entries, issuances, revocations and authorities. */

import Type, { type Static } from 'typebox';
import { ISSUANCE_KINDS, REVOCATION_REASON_NAMES } from '../base/index.ts';
import { AUTHORITY_STATES, type AuthorityMove } from '../ca/index.ts';
import { RELATIONSHIP_STATES } from '../federation/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });

const STREAM_EVENT = titled(
  'StreamEvent',
  Type.Object(
    {
      at: Timestamp,
      stream: Type.Integer({ minimum: 1, description: 'its id in /v1/proxies' }),
      pid: Type.Integer(),
      uid: Type.Integer(),
      node_id: Type.Union([Type.String(), Type.Null()]),
      names: Type.Array(Type.String()),
      detail: Type.Union([Type.String(), Type.Null()], {
        description: 'sent: the version; held: the reason; rejected: the error text of the proxy',
      }),
    },
    {
      ...CLOSED,
      description: 'of stream_opened, stream_closed, held, sent, acked, rejected and removed',
    },
  ),
);

const ENTRY_EVENT = titled(
  'EntryEvent',
  Type.Object(
    {
      at: Timestamp,
      id: Type.String(),
      spiffe_id: Type.String(),
      source: Type.String(),
      revision_number: Type.Integer({ minimum: 1 }),
    },
    { ...CLOSED, description: 'of entry_created, entry_changed, entry_deleted and entry_expired' },
  ),
);

const ISSUANCE_EVENT = titled(
  'IssuanceEvent',
  Type.Object(
    {
      at: Timestamp,
      entry_id: Type.String(),
      spiffe_id: Type.String(),
      kind: Type.Enum([...ISSUANCE_KINDS], { description: 'x509: a certificate; jwt: a token' }),
      serial: Type.String({ description: 'of a token: the first 16 bytes of its SHA-256, lower-case hex' }),
      authority_id: Type.String(),
      not_before: Timestamp,
      expires_at: Timestamp,
    },
    { ...CLOSED, description: 'of issued' },
  ),
);

const REVOCATION_EVENT = titled(
  'RevocationEvent',
  Type.Object(
    {
      at: Timestamp,
      serial: Type.String(),
      spiffe_id: Type.String(),
      entry_id: Type.String(),
      reason: Type.Enum([...REVOCATION_REASON_NAMES]),
    },
    { ...CLOSED, description: 'of revoked and restored' },
  ),
);

const AUTHORITY_EVENT = titled(
  'AuthorityEvent',
  Type.Object(
    {
      at: Timestamp,
      authority_id: Type.String(),
      role: Type.Union([Type.Literal('root'), Type.Literal('intermediate'), Type.Literal('jwt')]),
      state: Type.Unsafe<AuthorityMove['state']>({ type: 'string', enum: [...AUTHORITY_STATES, 'gone'] }),
      before: Type.Unsafe<AuthorityMove['state'] | null>({
        anyOf: [{ type: 'string', enum: AUTHORITY_STATES }, { type: 'null' }],
        description: 'null for a new one',
      }),
    },
    { ...CLOSED, description: 'of authority_moved' },
  ),
);

const RELATIONSHIP_EVENT = titled(
  'RelationshipEvent',
  Type.Object(
    {
      at: Timestamp,
      trust_domain: Type.String(),
      state: Type.Enum([...RELATIONSHIP_STATES]),
      before: Type.Enum([...RELATIONSHIP_STATES]),
      detail: Type.Union([Type.String(), Type.Null()], { description: 'why the last fetch failed' }),
    },
    { ...CLOSED, description: 'of relationship_moved' },
  ),
);

const BUNDLE_EVENT = titled(
  'BundleEvent',
  Type.Object(
    {
      at: Timestamp,
      trust_domain: Type.String(),
      source: Type.Union([Type.Enum(['manual', 'polled']), Type.Null()], { description: 'null: it was deleted' }),
      spiffe_sequence: Type.Union([Type.String(), Type.Null()]),
      authorities: Type.Integer({ minimum: 0 }),
    },
    { ...CLOSED, description: 'of bundle_changed and bundle_deleted: the bundle of another trust domain' },
  ),
);

const AGENT_EVENT = titled(
  'AgentEvent',
  Type.Object(
    {
      at: Timestamp,
      agent_id: Type.String({ description: 'its SPIFFE ID' }),
      host: Type.Union([Type.String(), Type.Null()]),
      agent_version: Type.String(),
      address: Type.String(),
    },
    { ...CLOSED, description: 'of agent_attached and agent_detached: an agent of Sidekey on another host' },
  ),
);

const LAGGED_EVENT = titled(
  'LaggedEvent',
  Type.Object({ at: Timestamp, detail: Type.String() }, { ...CLOSED, description: 'of lagged' }),
);

export type StreamEventJson = Static<typeof STREAM_EVENT>;
export type EntryEventJson = Static<typeof ENTRY_EVENT>;
export type AuthorityEventJson = Static<typeof AUTHORITY_EVENT>;
export type RevocationEventJson = Static<typeof REVOCATION_EVENT>;
export type RelationshipEventJson = Static<typeof RELATIONSHIP_EVENT>;
export type BundleEventJson = Static<typeof BUNDLE_EVENT>;
export type AgentEventJson = Static<typeof AGENT_EVENT>;
export type IssuanceEventJson = Static<typeof ISSUANCE_EVENT>;

/** The data of one event. */
export const EVENT = titled(
  'Event',
  Type.Union([
    STREAM_EVENT,
    ENTRY_EVENT,
    ISSUANCE_EVENT,
    REVOCATION_EVENT,
    AUTHORITY_EVENT,
    RELATIONSHIP_EVENT,
    BUNDLE_EVENT,
    AGENT_EVENT,
    LAGGED_EVENT,
  ]),
);
