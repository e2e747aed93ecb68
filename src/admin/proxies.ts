/** `GET /v1/proxies`: the secrets of every proxy, as requested, sent and answered. */

import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { type Clock, Slices } from '../base/index.ts';
import type { Ledger, ProxyConnection, SecretReport } from '../delivery/index.ts';
import type { IssuanceStore, RegistryView } from '../registry/index.ts';
import { issuedOf } from './issued.ts';
import { inSlices, objectWithList } from './json-pieces.ts';
import {
  PROXY_PAGE,
  PROXY_QUERY,
  type ProxyJson,
  type ProxyQuery,
  type SecretJson,
  type StreamJson,
} from './proxy-schema.ts';
import { maybeTime, time } from './time.ts';

export interface ProxyRoutesParts {
  readonly ledger: Pick<Ledger, 'connections'>;
  readonly registry: Pick<RegistryView, 'aliases'>;
  readonly self: { readonly issuances: Pick<IssuanceStore, 'issuedOf'> };
  readonly clock: Clock;
}

export function addProxyRoutes(app: FastifyInstance, parts: ProxyRoutesParts): void {
  const { ledger, clock } = parts;
  app.get<{ Querystring: ProxyQuery }>(
    '/v1/proxies',
    {
      schema: {
        operationId: 'listProxies',
        summary: 'List proxies with their open streams and secrets, oldest connection first',
        querystring: PROXY_QUERY,
        response: { 200: PROXY_PAGE },
      },
    },
    async ({ query }, reply) => {
      const history = query.history ? await historyOf(parts, query, clock.now()) : undefined;
      const page = pageOf(ledger.connections(query.cursor), { ...query, issuedBefore: history }, clock.now());
      return reply.type('application/json; charset=utf-8').send(Readable.from(inSlices(page), { objectMode: false }));
    },
  );
}

/** Says whether an SVID was ever issued for a name that no entry gives; undefined: not known. */
type IssuedBefore = (name: string) => boolean | undefined;

interface ProxySearch extends ProxyQuery {
  readonly issuedBefore: IssuedBefore | undefined;
}

async function historyOf(parts: ProxyRoutesParts, query: ProxyQuery, now: number): Promise<IssuedBefore> {
  const { ledger, registry, self } = parts;
  const idOf = (name: string): string => registry.aliases.get(name)?.spiffeId ?? name;
  const ids = new Set<string>();
  const slices = new Slices();
  for (const connection of ledger.connections(query.cursor)) {
    if (!isAsked(connection, query)) continue;
    for (const stream of connection.streams) {
      for (const { name, held } of stream.report(now).secrets) if (held?.reason === 'no-entry') ids.add(idOf(name));
      if (slices.isOver()) await slices.next();
    }
  }
  const issued = await issuedOf([...ids], self.issuances);
  return (name) => (ids.has(idOf(name)) ? issued.has(idOf(name)) : undefined);
}

/** If the query filters secrets, streams and proxies without a matching secret are left out. */
function* pageOf(connections: Iterable<ProxyConnection>, query: ProxySearch, now: number): Generator<string> {
  let written = 0;
  let last = 0;
  let nextCursor = '';
  yield `{"at":${JSON.stringify(time(now))},"proxies":[`;
  page: for (const connection of connections) {
    yield '';
    if (!isAsked(connection, query)) continue;
    for (const piece of proxyOf(connection, query, now)) {
      if (piece !== '' && last !== connection.number) {
        if (written === query.limit) {
          nextCursor = String(last);
          break page;
        }
        if (written > 0) yield ',';
        written += 1;
        last = connection.number;
      }
      yield piece;
    }
  }
  yield `],"next_cursor":"${nextCursor}"}`;
}

function isAsked({ peer, node }: ProxyConnection, query: ProxyQuery): boolean {
  const { pid, uid } = peer.credentials;
  if (query.connection !== undefined && peer.id !== query.connection) return false;
  if (query.pid !== undefined && pid !== query.pid) return false;
  if (query.uid !== undefined && uid !== query.uid) return false;
  return query.node === undefined || node?.id === query.node;
}

function proxyOf(connection: ProxyConnection, query: ProxySearch, now: number): Iterable<string> {
  const { state, spiffe_id: spiffeId, name } = query;
  const matchingOnly = state !== undefined || spiffeId !== undefined || name !== undefined;
  return objectWithList(() => whoIs(connection), 'streams', streams(), matchingOnly);

  function* streams(): Iterable<Iterable<string>> {
    for (const stream of connection.streams) {
      const { secrets, ...report } = stream.report(now);
      const head = (): Omit<StreamJson, 'secrets'> => {
        const { openedAt, ...rest } = report;
        return { ...rest, opened_at: time(openedAt) };
      };
      yield objectWithList(head, 'secrets', matching(secrets, query), matchingOnly);
    }
  }
}

function* matching(secrets: Iterable<SecretReport>, query: ProxySearch): Iterable<Iterable<string>> {
  const { state, spiffe_id: spiffeId, name } = query;
  for (const secret of secrets) {
    const isMatch =
      (state === undefined || state.includes(secret.state)) &&
      (name === undefined || secret.name === name) &&
      (spiffeId === undefined || secret.spiffeId === spiffeId || secret.name === spiffeId);
    yield [isMatch ? JSON.stringify(secretToJson(secret, query.issuedBefore)) : ''];
  }
}

function whoIs({ peer, node, selectors }: ProxyConnection): Omit<ProxyJson, 'streams'> {
  const { pid, uid, gid } = peer.credentials;
  return {
    connection: peer.id,
    pid,
    uid,
    gid,
    owner: peer.owner.name,
    selectors: [...selectors],
    node_id: node?.id ?? null,
    cluster: node?.cluster ?? null,
    envoy_version: node?.version ?? null,
  };
}

function secretToJson({ held, rejection, ...secret }: SecretReport, before: IssuedBefore | undefined): SecretJson {
  return {
    name: secret.name,
    state: secret.state,
    held:
      held === undefined
        ? null
        : {
            ...held,
            since: time(held.since),
            decision: held.decision ?? null,
            issued_before: (held.reason === 'no-entry' ? before?.(secret.name) : undefined) ?? null,
          },
    version: secret.version ?? null,
    sent_at: maybeTime(secret.sentAt),
    acked: secret.acked ?? null,
    acked_at: maybeTime(secret.ackedAt),
    rejection: rejection === undefined ? null : { ...rejection, at: time(rejection.at) },
    spiffe_id: secret.spiffeId ?? null,
    serial: secret.serial ?? null,
    authority_id: secret.authorityId ?? null,
    not_before: maybeTime(secret.notBefore),
    expires_at: maybeTime(secret.notAfter),
  };
}
