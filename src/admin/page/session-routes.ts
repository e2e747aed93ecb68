/** Routes for signing in to the page: links, sessions. */

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { type Clock, includesRole, type Role, SidekeyError } from '../../base/index.ts';
import { Rates } from '../../limits/index.ts';
import type { AuditStore } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { type Requester, requesterOfSession } from '../access.ts';
import type { ByOf } from '../actor.ts';
import { NOTHING } from '../schema.ts';
import { time } from '../time.ts';
import { endedSession, type PageRequest, refuseOtherSites, refuseSharedHost, setCookie } from './session-access.ts';
import { isSessionRole, readCode, readLinkInput } from './session-input.ts';
import {
  CODE_INPUT,
  LINK_INPUT,
  NEW_LINK,
  type NewLinkJson,
  OWN_SESSION,
  type OwnSessionJson,
  SESSION_PARAMS,
  SESSIONS,
  type SessionJson,
} from './session-schema.ts';
import { type Maker, makerName, type PageSession, type PageSessions } from './sessions.ts';

export interface SessionRoutesParts {
  readonly sessions: PageSessions;
  readonly audit: Pick<AuditStore, 'append'>;
  readonly registry: { readonly trustDomain: string };
  /** Where the server listens on TCP; null: nowhere. */
  readonly tcpListener: () => NewLinkJson['listener'];
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** A maker makes this many links at once, and then one each {@link LINK_S} seconds: each adds rows to the audit. */
const LINKS = 10;
const LINK_S = 6;
/** Anybody may send a code, so what they may send is small; in bytes. */
const CODE_BODY_LIMIT = 1_024;
/** Makers whose rate is known. */
const MAX_MAKERS = 1_000;

/** What decides about a request that the page makes. */
export function pageRequest({ method = '', headers, socket }: IncomingMessage): PageRequest {
  return { method, headers, tls: 'encrypted' in socket };
}

export function addSessionRoutes(app: FastifyInstance, parts: SessionRoutesParts, byOf: ByOf): void {
  const { sessions, audit, registry, tcpListener, clock, log, version } = parts;
  const rates = new Rates(LINKS, 1 / LINK_S, clock, MAX_MAKERS);

  app.post(
    '/v1/page/links',
    {
      schema: {
        operationId: 'createPageLink',
        summary: 'Make a one-time code with which a browser signs in to the page, within a minute',
        body: LINK_INPUT,
        response: { 201: NEW_LINK },
        errors: ['ERR_TOO_MANY_LINKS'],
      },
    },
    async (request, reply): Promise<NewLinkJson> => {
      const { requester } = request;
      const input = readLinkInput(request.body);
      const { maker, mostRole, until } = makerOf(requester);
      const role = input.role ?? mostRole;
      if (!isSessionRole(role) || !includesRole(mostRole, role)) throw roleTooHigh(role, mostRole);
      const name = input.name ?? (maker.kind === 'token' ? maker.name : `uid-${maker.uid}`);
      if (!rates.take(makerName(maker))) throw tooManyLinks(makerName(maker));
      const by = byOf(request);
      // Made first: if the token is revoked while the row is written, the code ends with it.
      const { code, expiresAt } = sessions.makeCode({ name, role, maker, until });
      try {
        await audit.append([{ at: clock.now(), action: 'session.link_made', by, target: name, detail: { role } }]);
      } catch (thrown) {
        sessions.dropCode(code);
        throw thrown;
      }
      log.info({ name, role, by: requester }, 'a link to the page was made');
      // Nothing on the way may keep the code.
      reply.code(201).header('cache-control', 'no-store');
      return { code, expires_at: time(expiresAt), role, name, listener: tcpListener() };
    },
  );

  app.post(
    '/v1/page/session',
    {
      bodyLimit: CODE_BODY_LIMIT,
      schema: {
        operationId: 'signInToPage',
        summary: 'Turn the code of a link into a session, whose cookie is in the answer',
        body: CODE_INPUT,
        response: { 200: OWN_SESSION },
        errors: ['ERR_FORBIDDEN_ORIGIN', 'ERR_LINK'],
      },
    },
    async (request, reply): Promise<OwnSessionJson> => {
      const asked = pageRequest(request.raw);
      refuseOtherSites(asked);
      refuseSharedHost(asked.headers.host);
      const made = sessions.redeem(readCode(request.body));
      if (made === undefined) {
        throw new SidekeyError(
          'ERR_LINK',
          'this link was used already, or is older than a minute: run sidekey page again for a new one',
        );
      }
      const { session, cookie } = made;
      request.requester = requesterOfSession(session);
      try {
        const detail = { name: session.name, role: session.role, expires_at: time(session.expiresAt) };
        await audit.append([
          { at: clock.now(), action: 'session.created', by: byOf(request), target: session.id, detail },
        ]);
      } catch (thrown) {
        sessions.end(session.id);
        throw thrown;
      }
      log.info({ session: session.id, name: session.name, role: session.role }, 'a session of the page began');
      reply.header('cache-control', 'no-store').header('set-cookie', setCookie(asked.tls, cookie));
      return ownToJson(session);
    },
  );

  app.get(
    '/v1/page/session',
    {
      schema: {
        operationId: 'getPageSession',
        summary: 'The session whose cookie the request has',
        response: { 200: OWN_SESSION },
      },
    },
    (request) => ownToJson(ownSession(request)),
  );

  app.delete(
    '/v1/page/session',
    {
      schema: {
        operationId: 'signOutOfPage',
        summary: 'End the session whose cookie the request has',
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      await end(ownSession(request), request);
      return reply
        .code(204)
        .header('set-cookie', setCookie(pageRequest(request.raw).tls, undefined))
        .send();
    },
  );

  app.get(
    '/v1/page/sessions',
    {
      schema: {
        operationId: 'listPageSessions',
        summary:
          'List the sessions of the page, oldest first: with the role admin all, else those of the same maker that have no higher role',
        response: { 200: SESSIONS },
      },
    },
    ({ requester }) => ({ sessions: seenBy(requester).map((session) => toJson(session, requester)) }),
  );

  app.delete<{ Params: Static<typeof SESSION_PARAMS> }>(
    '/v1/page/sessions/:id',
    {
      schema: {
        operationId: 'endPageSession',
        summary: 'End a session of the page, and its event streams',
        params: SESSION_PARAMS,
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      // Sessions of others are not there, for whoever may not see them.
      const session = seenBy(request.requester).find((one) => one.id === id);
      if (session === undefined) throw new SidekeyError('ERR_NOT_FOUND', `there is no session ${JSON.stringify(id)}`);
      await end(session, request);
      return reply.code(204).send();
    },
  );

  function ownSession({ requester }: FastifyRequest): PageSession {
    const session = requester?.kind === 'session' ? sessions.list().find(({ id }) => id === requester.id) : undefined;
    if (session === undefined) throw endedSession();
    return session;
  }

  function seenBy(requester: Requester | undefined): PageSession[] {
    const { maker: own, mostRole } = rightsOf(requester);
    const isOwn = ({ maker, role }: PageSession) => makerName(maker) === makerName(own) && includesRole(mostRole, role);
    return sessions.list().filter((session) => mostRole === 'admin' || isOwn(session));
  }

  /** Ends it even if that can't be recorded: it takes a right away. */
  async function end({ id, name, role }: PageSession, request: FastifyRequest): Promise<void> {
    sessions.end(id);
    log.info({ session: id, name }, 'a session of the page was ended');
    await audit.append([
      { at: clock.now(), action: 'session.ended', by: byOf(request), target: id, detail: { name, role } },
    ]);
  }

  function ownToJson({ id, name, role, csrf, expiresAt }: PageSession): OwnSessionJson {
    return { id, name, role, csrf, expires_at: time(expiresAt), trust_domain: registry.trustDomain, version };
  }
}

interface Rights {
  readonly maker: Maker;
  readonly mostRole: Role;
  /** Milliseconds since the epoch; 0: never. */
  readonly until: number;
}

/** A session makes no links, so that none can live longer than its time. @throws ERR_FORBIDDEN */
function makerOf(requester: Requester | undefined): Rights {
  if (requester?.kind !== 'session') return rightsOf(requester);
  throw new SidekeyError('ERR_FORBIDDEN', 'a session of the page makes no links: run sidekey page for another one');
}

function rightsOf(requester: Requester | undefined): Rights {
  // The routes need a role, so the sender is known.
  if (requester === undefined) throw endedSession();
  switch (requester.kind) {
    case 'unix':
      return { maker: { kind: 'unix', uid: requester.uid }, mostRole: 'admin', until: 0 };
    case 'token':
      return {
        maker: { kind: 'token', name: requester.name },
        mostRole: requester.role,
        until: requester.expiresAt,
      };
    case 'session':
      return { maker: requester.maker, mostRole: requester.role, until: 0 };
  }
}

function roleTooHigh(role: Role, most: Role): SidekeyError {
  return new SidekeyError(
    'ERR_FORBIDDEN_ROLE',
    `a user or token with the role ${most} makes no session with the role ${role}`,
    { extra: { needed_role: role } },
  );
}

function tooManyLinks(maker: string): SidekeyError {
  return new SidekeyError(
    'ERR_TOO_MANY_LINKS',
    `${maker} has made ${LINKS} links in a short time: wait ${LINK_S} seconds for the next one`,
  );
}

function toJson(session: PageSession, requester: Requester | undefined): SessionJson {
  const { id, name, role, maker, createdAt, lastUsedAt, expiresAt } = session;
  return {
    ...{ id, name, role, made_by: makerName(maker) },
    created_at: time(createdAt),
    last_used_at: time(lastUsedAt),
    expires_at: time(expiresAt),
    current: requester?.kind === 'session' && requester.id === id,
  };
}
