/** The Fastify application without its routes: access control, content types and errors. */

import type { IncomingMessage } from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify';
import type { Actor, Refusal } from '../audit/index.ts';
import { BODY_LIMIT, type Clock, ERRORS, type ErrorCode, parseBytes, SidekeyError } from '../base/index.ts';
import type { Tokens } from '../registry/index.ts';
import { type Counters, type LimitName, type Log, ownedLog } from '../telemetry/index.ts';
import { type AdminCaller, checkRole, identify, isForwarded, type Requester } from './access.ts';
import { actorOf, type ByOf } from './actor.ts';
import { methodsOf } from './methods.ts';
import { openApiDocument } from './openapi.ts';
import { pageRequest } from './page/session-routes.ts';
import type { PageSessions } from './page/sessions.ts';
import { sendProblem, toSidekeyError } from './problem.ts';
import { schemaController } from './query.ts';
import type { RequestCounts } from './request-counts.ts';
import { NEEDS_OF_UNKNOWN, type Needs, needsOf } from './roles.ts';
import { DOCUMENT, NO_QUERY } from './schema.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The sender; undefined for a request on TCP that needs no token. */
    requester: Requester | undefined;
  }
}

/** What each request needs, whatever its route. */
export interface BaseOptions {
  readonly registry: { readonly tokens: Pick<Tokens, 'find'> };
  readonly sessions: Pick<PageSessions, 'use'>;
  /** Counts every request. */
  readonly requests: RequestCounts;
  /** Counts the limits that requests reach. */
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The caller of a request; undefined refuses it. */
  readonly callerOf: (request: IncomingMessage) => AdminCaller | undefined;
  /** Called for requests that are accepted; not for paths that need no token. */
  readonly admit: (request: IncomingMessage, requester: Requester) => void;
  /** The token of the file, which has the role admin; undefined: there is none. */
  readonly token: () => string | undefined;
  /** Counts a refused request for the audit. */
  readonly onRefused: (refusal: Refusal) => void;
  /** Host names that TCP callers may use, in addition to the loopback names. */
  readonly hosts: readonly string[];
  /** The error for a request that is answered elsewhere; undefined: nowhere. */
  readonly elsewhere?: (method: string, path: string) => SidekeyError | undefined;
}

export interface Base {
  readonly app: FastifyInstance;
  /** Those that were added. */
  readonly routes: readonly RouteOptions[];
  readonly byOf: ByOf;
}

/** Headers of answers to the page. */
const PRIVATE = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/** Statuses of refused callers. */
const REFUSED: ReadonlySet<number> = new Set([401, 403]);
/** Statuses of refused changes. */
const REFUSED_CHANGES: ReadonlySet<number> = new Set([400, 409, 412]);

/** The errors that say that a limit was reached. */
const LIMIT_OF: Partial<Record<ErrorCode, LimitName>> = {
  ERR_TOO_LARGE: 'adminBodyBytes',
  ERR_TOO_MANY_READERS: 'eventReaders',
  ERR_ROTATION_LIMIT: 'authorities',
  ERR_TOO_MANY_LINKS: 'pageLinks',
};

/** The application without routes: add them, then {@link addDocument}. */
export function createBase(options: BaseOptions): Base {
  const { callerOf, counters, log, requests } = options;
  const byOf: ByOf = ({ raw, requester }) => actorIn(callerOf(raw)!, raw, requester);
  const refusedLog = ownedLog(log, 'refused admin callers');
  const routes: RouteOptions[] = [];
  const needs = new Map<string, Needs>();
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    // The ID of an agent has the trust domain, and is URL-encoded.
    routerOptions: { maxParamLength: 400 },
    schemaController,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, toSidekeyError(error)),
  });
  app.addHook('onRoute', (route) => {
    // All routes refuse unknown parameters, even routes without parameters: `POST …?dry_run=true` must not write.
    route.schema = { querystring: NO_QUERY, ...route.schema };
    routes.push(route);
    // A route without a role fails the start, so that none is open by mistake.
    for (const method of [route.method].flat()) needs.set(`${method} ${route.url}`, needsOf(method, route.url));
  });
  app.decorateRequest('requester', undefined);
  app.addHook('onRequest', async (request, reply) => {
    try {
      const { method, routeOptions } = request;
      const needed = needs.get(`${method} ${routeOptions.url}`) ?? NEEDS_OF_UNKNOWN;
      request.requester = requesterOf(request, callerOf(request.raw), needed, options);
      // What a session may read is not kept by its browser, and no other site gets at it.
      if (request.requester?.kind === 'session') reply.headers(PRIVATE);
      checkRole(request.requester, needed);
      if (request.requester !== undefined && needed !== 'open') options.admit(request.raw, request.requester);
    } catch (thrown) {
      // Closes the connection, so that the rest of the request is not read.
      reply.header('connection', 'close');
      throw thrown;
    }
    // Before Fastify reads a body, or finds that one is missing.
    if (request.is404) throw notFound(request, reply, routes, options.elsewhere);
  });
  app.addHook('preHandler', async (request) => {
    const { method, routeOptions, requester, body } = request;
    if (body === undefined || requester === undefined || requester.kind === 'unix') return;
    // While the body arrived, the token may have been revoked, or the session ended.
    const needed = needs.get(`${method} ${routeOptions.url}`) ?? NEEDS_OF_UNKNOWN;
    request.requester = requesterOf(request, callerOf(request.raw), needed, options);
  });
  app.addHook('onResponse', async ({ method, url, raw, requester, routeOptions }, { statusCode }) => {
    requests.add(routeOptions.url, method, statusCode);
    if (method === 'GET' || method === 'HEAD') return;
    // Refused callers can send any number of requests, so their log lines are limited.
    const to = REFUSED.has(statusCode) ? refusedLog : log;
    to.info(
      { method, path: pathOf(url), status: statusCode, caller: logged(callerOf(raw), requester) },
      'admin request',
    );
  });
  app.setErrorHandler((thrown, { method, url, raw, requester, routeOptions }, reply) => {
    const error = toSidekeyError(thrown, routeOptions.bodyLimit);
    const { status } = ERRORS[error.code];
    const caller = callerOf(raw);
    const isChange = method !== 'GET' && method !== 'HEAD' && REFUSED_CHANGES.has(status);
    if (caller !== undefined && (isChange || REFUSED.has(status))) {
      // The pattern of the path: the path itself may be anything.
      options.onRefused({
        action: 'admin.refused',
        by: actorIn(caller, raw, requester),
        code: error.code,
        what: `${method} ${routeOptions.url ?? '(no such path)'}`,
      });
    }
    const limit = LIMIT_OF[error.code];
    if (limit !== undefined) counters.limits.add(limit);
    const request = { method, path: pathOf(url) };
    if (ERRORS[error.code].status === 500) log.error({ err: error, ...request }, 'admin request failed');
    // The caller gets all details. Its input stays out of the log, because a selector may contain an environment value.
    else
      log.debug({ code: error.code, at: error.problems.map(({ path }) => path), ...request }, 'admin request refused');
    return sendProblem(reply, error);
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJson(body),
  );
  return { app, routes, byOf };
}

/** Adds the document of the routes that were added before. */
export function addDocument({ app, routes }: Base, version: string): void {
  let document: Record<string, unknown> | undefined;
  app.get(
    '/openapi.json',
    { schema: { operationId: 'getOpenApiDocument', summary: 'This document', response: { 200: DOCUMENT } } },
    () => {
      document ??= openApiDocument(routes, version);
      return document;
    },
  );
}

/** The error for a path that is not there, or does not have the method. */
function notFound(
  { method, url }: FastifyRequest,
  reply: FastifyReply,
  routes: readonly RouteOptions[],
  elsewhere: BaseOptions['elsewhere'],
): SidekeyError {
  const path = pathOf(url);
  const methods = methodsOf(path, routes);
  const other = elsewhere?.(method, path);
  if (other !== undefined) return other;
  if (methods.length === 0) return new SidekeyError('ERR_NOT_FOUND', `there is no ${path} here`);
  reply.header('allow', methods.join(', '));
  return new SidekeyError('ERR_METHOD_NOT_ALLOWED', `${path} has ${methods.join(', ')}, not ${method}`);
}

/** The path without the query, which may contain selectors. */
function pathOf(url: string): string {
  return url.split('?', 1)[0]!;
}

function logged(caller: AdminCaller | undefined, requester: Requester | undefined): object | undefined {
  switch (requester?.kind) {
    case 'token':
      return { ...caller, token_name: requester.name };
    case 'session':
      return { ...caller, session: requester.id, session_name: requester.name };
    default:
      return caller;
  }
}

function actorIn(caller: AdminCaller, { headers }: IncomingMessage, requester: Requester | undefined): Actor {
  return actorOf(caller, requester, isForwarded(caller, headers));
}

/** See {@link identify}. */
function requesterOf(
  request: FastifyRequest,
  caller: AdminCaller | undefined,
  needs: Needs,
  { token, registry, sessions, hosts, clock }: BaseOptions,
): Requester | undefined {
  if (caller === undefined) throw new SidekeyError('ERR_FORBIDDEN', 'the kernel does not say which process is calling');
  const { tokens } = registry;
  const rules = { ownerUid: process.geteuid!(), token: token(), tokens, sessions, hosts, now: clock.now() };
  return identify(caller, { ...pageRequest(request.raw), needs }, rules);
}

/** An empty body counts as none, with any content type: some clients send the header with every request. */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return parseBytes(body);
  } catch (thrown) {
    if (thrown instanceof SidekeyError) throw thrown;
    throw new SidekeyError('ERR_BAD_JSON', (thrown as Error).message);
  }
}
