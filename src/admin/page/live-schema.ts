/** JSON schemas of what the page follows: rows of proxies, events, and messages that merge them. */

import Type, { type Static } from 'typebox';
import { AUTHORITIES } from '../ca-schema.ts';
import { STATES } from '../proxy-schema.ts';
import { titled } from '../titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeTimestamp = Type.Union([Timestamp, Type.Null()]);
const MaybeText = Type.Union([Type.String(), Type.Null()]);
const Count = Type.Integer({ minimum: 0 });
const CUT = 'cut to 300 characters';

/** The states of a proxy: `none`, as long as it requests nothing. */
export const PROXY_STATES = [...STATES, 'none'] as const;

const BY_STATE = {
  held: Type.Optional(Count),
  unknown: Type.Optional(Count),
  sent: Type.Optional(Count),
  in_sync: Type.Optional(Count),
  rejected: Type.Optional(Count),
  stale: Type.Optional(Count),
} satisfies Record<(typeof STATES)[number], unknown>;

const SecretCounts = Type.Object(BY_STATE, { ...CLOSED, description: 'the numbers of secrets by state, if any' });

export const PROXY_ROW = titled(
  'ProxyRow',
  Type.Object(
    {
      connection: Type.String({ description: 'as in the log, and for /v1/proxies?connection=' }),
      number: Type.Integer({ minimum: 1, description: 'grows in the order of opening' }),
      state: Type.Enum([...PROXY_STATES], {
        description:
          'the worst one of its secrets, in the order rejected, stale, held, unknown, sent, in_sync; or none',
      }),
      node_id: { ...MaybeText, description: `null before the first request; ${CUT}` },
      cluster: { ...MaybeText, description: CUT },
      envoy_version: { ...MaybeText, description: CUT },
      pid: Type.Integer({ description: '0: outside the pid namespace of the server' }),
      uid: Type.Integer(),
      owner: Type.String({ description: 'the owner for limits: a user or a container' }),
      services: Type.Array(Type.Enum(['sds', 'ads', 'workload-api'])),
      opened_at: { ...Timestamp, description: 'of its oldest open stream' },
      secrets: SecretCounts,
      spiffe_id: { ...MaybeText, description: 'of the first certificate that it has' },
      spiffe_ids: { ...Count, description: 'the number of different SPIFFE IDs that it has certificates of' },
      not_before: { ...MaybeTimestamp, description: 'the start of the certificate that ends first' },
      expires_at: { ...MaybeTimestamp, description: 'its end' },
      problem: { ...MaybeText, description: `the reason of its worst secret, if that is held or rejected; ${CUT}` },
    },
    CLOSED,
  ),
);

export type ProxyRowJson = Static<typeof PROXY_ROW>;

export const PAGE_EVENT_TYPES = [
  'stream_opened',
  'stream_closed',
  'held',
  'rejected',
  'removed',
  'entry_created',
  'entry_changed',
  'entry_deleted',
  'entry_expired',
  'revoked',
  'restored',
  'authority_moved',
  'relationship_moved',
] as const;

const PAGE_EVENT = titled(
  'PageEvent',
  Type.Object(
    {
      type: Type.Enum([...PAGE_EVENT_TYPES], {
        description: 'as in /v1/events; deliveries and issuances are only counted',
      }),
      at: Timestamp,
      connection: { ...MaybeText, description: 'of a stream' },
      node_id: { ...MaybeText, description: `of a stream; ${CUT}` },
      pid: Type.Union([Type.Integer(), Type.Null()], { description: 'of a stream' }),
      uid: Type.Union([Type.Integer(), Type.Null()], { description: 'of a stream' }),
      names: Type.Array(Type.String(), { description: `of a stream: the first 5 names; each ${CUT}` }),
      more_names: Count,
      id: {
        ...MaybeText,
        description:
          'of an entry or authority, the serial number of a revoked certificate, or the trust domain of a relationship',
      },
      spiffe_id: { ...MaybeText, description: 'of an entry or certificate' },
      detail: {
        ...MaybeText,
        description: `held: the reason; rejected: the error text; an authority: role and state; a relationship: its state, and why the last fetch failed; ${CUT}`,
      },
    },
    CLOSED,
  ),
);

export type PageEventJson = Static<typeof PAGE_EVENT>;

const COUNTS = titled(
  'PageCounts',
  Type.Object(
    {
      proxies: Type.Object(
        { ...BY_STATE, none: Type.Optional(Count) },
        { ...CLOSED, description: 'the numbers of proxies by their state, if any' },
      ),
      secrets: SecretCounts,
      streams: Count,
    },
    CLOSED,
  ),
);

export type PageCountsJson = Static<typeof COUNTS>;

const place = {
  instance: Type.String({ description: 'differs after each start of the server' }),
  cursor: Type.Integer({ minimum: 0, description: 'the number of the last message of /v1/page/events' }),
  at: { ...Timestamp, description: 'by the clock of the server' },
};

export const PROXY_ROWS = titled('ProxyRows', Type.Object({ ...place, rows: Type.Array(PROXY_ROW) }, CLOSED));

const HELLO = titled(
  'PageHello',
  Type.Object(
    {
      ...place,
      resumed: Type.Boolean({ description: 'whether nothing has changed since the message of Last-Event-ID' }),
    },
    { ...CLOSED, description: 'of hello, the first message of each connection' },
  ),
);

/** What the page shows elsewhere than in rows, and has to ask for again. */
export const CHANGED_KINDS = ['entries', 'issuances', 'revocations', 'authorities', 'bundles'] as const;
export type ChangedKind = (typeof CHANGED_KINDS)[number];

const CHANGES = titled(
  'PageChanges',
  Type.Object(
    {
      ...place,
      rows: Type.Array(PROXY_ROW, { description: 'new and changed ones, as they are now' }),
      gone: Type.Array(Type.String(), { description: 'the connections that have closed' }),
      events: Type.Array(PAGE_EVENT, { description: 'the last ones, oldest first' }),
      lost: { ...Count, description: 'earlier events since the last message, which are left out' },
      sent: { ...Count, description: 'secrets sent since the last message' },
      acked: Count,
      issued: Count,
      changed: Type.Array(Type.Enum([...CHANGED_KINDS]), {
        description: 'what else has changed; bundles: of other trust domains, or relationships with them',
      }),
      counts: COUNTS,
    },
    { ...CLOSED, description: 'of changes; at most 20 a second' },
  ),
);

export type PageChangesJson = Static<typeof CHANGES>;

const LAGGED = titled(
  'PageLagged',
  Type.Object({ at: Timestamp, detail: Type.String() }, { ...CLOSED, description: 'of lagged, before the end' }),
);

export const PAGE_MESSAGE = titled('PageMessage', Type.Union([HELLO, CHANGES, LAGGED]));

const FINDING = titled(
  'PageFinding',
  Type.Object(
    {
      rule: Type.String({ description: 'a word that does not change once released' }),
      severity: Type.Enum(['error', 'warning', 'info']),
      place: Type.String(),
      line: Type.Optional(Type.Integer()),
      problem: Type.String(),
      why: Type.String(),
      fix: Type.String(),
      command: Type.Optional(Type.String()),
    },
    CLOSED,
  ),
);

export const OVERVIEW = titled(
  'PageOverview',
  Type.Object(
    {
      ...place,
      trust_domain: Type.String(),
      version: Type.String(),
      started_at: Timestamp,
      entries: Count,
      revoked: { ...Count, description: 'certificates that are revoked and have not ended' },
      counts: COUNTS,
      authorities: AUTHORITIES.properties.authorities,
      upstream: AUTHORITIES.properties.upstream,
      findings: Type.Union(
        [Type.Object({ at: Timestamp, list: Type.Array(FINDING), more: Count }, CLOSED), Type.Null()],
        { description: 'what sidekey doctor would say of the server, the worst first; null: still being found out' },
      ),
      events: Type.Array(PAGE_EVENT, { description: 'the last 50, newest first' }),
    },
    CLOSED,
  ),
);

export type OverviewJson = Static<typeof OVERVIEW>;
