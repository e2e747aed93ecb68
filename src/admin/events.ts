/** `GET /v1/events`: events about streams, entries, issuances, revocations and authorities, as server-sent events. */

import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { AgentMove } from '../agents/index.ts';
import type { Clock, IssuanceRecord, Revocation } from '../base/index.ts';
import type { AuthorityMove, CertificateAuthority } from '../ca/index.ts';
import type { Ledger, StreamEvent } from '../delivery/index.ts';
import type { Federation, RelationshipMove } from '../federation/index.ts';
import type { EntriesView, Entry, EntryChange, FederatedBundle, Registry } from '../registry/index.ts';
import type { Counters } from '../telemetry/index.ts';
import { type Requester, senderOf } from './access.ts';
import { EventReaders, type Tell } from './event-readers.ts';
import {
  type AgentEventJson,
  type AuthorityEventJson,
  type BundleEventJson,
  type EntryEventJson,
  EVENT,
  type IssuanceEventJson,
  type RelationshipEventJson,
  type RevocationEventJson,
  type StreamEventJson,
} from './event-schema.ts';
import type { FleetRoutesParts } from './fleet.ts';
import type { PageSessions } from './page/sessions.ts';
import { time } from './time.ts';

/** The sources of events. */
export interface EventSources {
  readonly ledger: Pick<Ledger, 'watch'>;
  readonly registry: Pick<Registry, 'get' | 'onChange' | 'revocations' | 'federatedBundles'>;
  readonly federation: Pick<Federation, 'onMove'>;
  /** Calls the listener for recorded SVIDs. Returns a function that stops this. */
  readonly onIssued: (listener: (records: readonly IssuanceRecord[]) => void) => () => void;
  readonly ca: Pick<CertificateAuthority, 'onMove'>;
  readonly fleet?: FleetRoutesParts['fleet'];
  readonly clock: Clock;
  /** Counts readers that are too slow. */
  readonly counters: Counters;
}

const MEDIA_TYPE = 'text/event-stream';

export function addEventRoutes(
  app: FastifyInstance,
  readers: EventReaders,
  sessions: Pick<PageSessions, 'hold'>,
): void {
  app.get(
    '/v1/events',
    {
      // HEAD would never end.
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamEvents',
        errors: ['ERR_NOT_READY', 'ERR_TOO_MANY_READERS'],
        summary: 'Stream changes from now on, as server-sent events; earlier events are not repeated',
        response: { 200: { content: { [MEDIA_TYPE]: { schema: EVENT } } } },
      },
    },
    ({ requester }, reply) => {
      readers.add(reply.raw, { sender: senderOf(requester!), until: untilOf(requester) });
      reply.hijack();
      holdSession(sessions, requester, reply.raw);
    },
  );
}

/** When the right to events ends, in milliseconds since the epoch; 0: never, or when its session ends. */
export function untilOf(requester: Requester | undefined): number {
  return requester?.kind === 'token' ? requester.expiresAt : 0;
}

/** A session is not idle while it has a stream of events open. */
export function holdSession(
  sessions: Pick<PageSessions, 'hold'>,
  requester: Requester | undefined,
  response: ServerResponse,
): void {
  if (requester?.kind !== 'session') return;
  response.req.socket.once('close', sessions.hold(requester.id));
}

/** Makes the readers; the sources are listened to only while there is a reader. */
export function createEventReaders({
  ledger,
  registry,
  federation,
  onIssued,
  ca,
  fleet,
  clock,
  counters,
}: EventSources): EventReaders {
  return new EventReaders(clock, counters, (tell) => {
    const stops = [
      ledger.watch((event) => tell(event.type, streamEvent(event))),
      registry.onChange((changes) => {
        for (const change of changes) tellChange(change, registry, clock.now(), tell);
      }),
      onIssued((records) => {
        for (const record of records) tell('issued', issuanceEvent(record));
      }),
      registry.revocations.onChange(({ revoked, restored }) => {
        for (const one of revoked) tell('revoked', revocationEvent(one, clock.now()));
        for (const one of restored) tell('restored', revocationEvent(one, clock.now()));
      }),
      federation.onMove((move) => tell('relationship_moved', relationshipEvent(move))),
      registry.federatedBundles.onChange((trustDomain) => {
        const bundle = registry.federatedBundles.get(trustDomain);
        const event = bundle === undefined ? 'bundle_deleted' : 'bundle_changed';
        tell(event, bundleEvent(trustDomain, bundle, clock.now()));
      }),
      ca.onMove((move) => tell('authority_moved', authorityEvent(move))),
      fleet?.()?.onMove((move) => tell(move.type, agentEvent(move))),
    ];
    return () => {
      for (const stop of stops) stop?.();
    };
  });
}

/** The same of an agent: events about its streams and its entries. */
export function createAgentEventReaders({
  ledger,
  registry,
  clock,
  counters,
}: Pick<EventSources, 'ledger' | 'clock' | 'counters'> & {
  readonly registry: Pick<EntriesView, 'get' | 'onChange'>;
}): EventReaders {
  return new EventReaders(clock, counters, (tell) => {
    const stops = [
      ledger.watch((event) => tell(event.type, streamEvent(event))),
      registry.onChange((changes) => {
        for (const change of changes) tellChange(change, registry, clock.now(), tell);
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  });
}

function streamEvent({ at, stream, pid, uid, node, names, detail }: StreamEvent): StreamEventJson {
  return { at: time(at), stream, pid, uid, node_id: node ?? null, names: [...names], detail: detail ?? null };
}

function tellChange({ before, after }: EntryChange, registry: Pick<EntriesView, 'get'>, now: number, tell: Tell): void {
  if (after !== undefined) tell(before === undefined ? 'entry_created' : 'entry_changed', entryEvent(after, now));
  else if (before !== undefined) {
    // An expired entry stays stored.
    const stored = registry.get(before.id);
    if (stored === undefined) tell('entry_deleted', entryEvent(before, now));
    else tell('entry_expired', entryEvent(stored, now));
  }
}

function entryEvent({ id, spiffeId, source, revisionNumber }: Entry, now: number): EntryEventJson {
  return { at: time(now), id, spiffe_id: spiffeId, source, revision_number: revisionNumber };
}

function authorityEvent({ at, id, role, state, before }: AuthorityMove): AuthorityEventJson {
  return { at: time(at), authority_id: id, role, state, before: before ?? null };
}

function agentEvent({ at, id, host, version, address }: AgentMove): AgentEventJson {
  return { at: time(at), agent_id: id, host: host || null, agent_version: version, address };
}

function relationshipEvent({ at, trustDomain, state, before, detail }: RelationshipMove): RelationshipEventJson {
  return { at: time(at), trust_domain: trustDomain, state, before, detail: detail ?? null };
}

function bundleEvent(trustDomain: string, bundle: FederatedBundle | undefined, now: number): BundleEventJson {
  const sequence = bundle && String(bundle.statedSequence ?? bundle.sequenceNumber);
  return {
    at: time(now),
    trust_domain: trustDomain,
    source: bundle?.source ?? null,
    spiffe_sequence: sequence ?? null,
    authorities: bundle?.x509Authorities.length ?? 0,
  };
}

function revocationEvent({ serial, spiffeId, entryId, reason }: Revocation, now: number): RevocationEventJson {
  return { at: time(now), serial, spiffe_id: spiffeId, entry_id: entryId, reason };
}

function issuanceEvent(record: IssuanceRecord): IssuanceEventJson {
  return {
    at: time(record.issuedAt),
    entry_id: record.entryId,
    spiffe_id: record.spiffeId,
    kind: record.kind,
    serial: record.serial,
    authority_id: record.authorityId,
    not_before: time(record.notBefore),
    expires_at: time(record.notAfter),
  };
}
