/** The Fastify application: who gets in, what is understood, how errors look, and the routes. */

import type { IncomingMessage } from 'node:http';
import fastify, { type FastifyInstance, type FastifyRequest, type RouteOptions } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { ERRORS, SidekeyError } from '../base/errors.ts';
import type { CertificateAuthority } from '../ca/types.ts';
import type { Decisions } from '../identity/decisions.ts';
import type { EntryRules } from '../registry/entry-input.ts';
import type { Registry } from '../registry/types.ts';
import type { Ledger } from '../sds/ledger.ts';
import { type Log, ownedLog } from '../telemetry/log.ts';
import { type AdminCaller, refusal } from './access.ts';
import { addAliasRoutes } from './aliases.ts';
import { addBundleRoutes } from './bundles.ts';
import { addDecisionRoutes } from './decisions.ts';
import { addDoctorRoutes, type SelfKnowledge } from './doctor.ts';
import { addEntryRoutes } from './entries.ts';
import type { EventReaders } from './event-readers.ts';
import { addEventRoutes } from './events.ts';
import { addExplainRoutes, type ExplainRoutesParts } from './explain.ts';
import { addHealthRoutes, OPEN_PATHS, type Readiness } from './health.ts';
import { methodsOf } from './methods.ts';
import { openApiDocument } from './openapi.ts';
import { BODY_LIMIT, sendProblem, toSidekeyError } from './problem.ts';
import { addProxyRoutes } from './proxies.ts';
import { schemaController } from './query.ts';
import { DOCUMENT, NO_QUERY } from './schema.ts';

/** What the routes need. */
export interface AppOptions {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  /** The rules that entries are read by. */
  readonly entryRules: EntryRules;
  readonly ledger: Pick<Ledger, 'connections'>;
  readonly decisions: Pick<Decisions, 'get' | 'list'>;
  readonly explain: Pick<ExplainRoutesParts, 'identities' | 'inspect' | 'mainPid'>;
  readonly self: SelfKnowledge;
  readonly eventReaders: EventReaders;
  readonly ready: () => Readiness;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** How a request came in; undefined refuses it. */
  readonly callerOf: (request: IncomingMessage) => AdminCaller | undefined;
  /** Told of requests whose caller may use the admin API, which paths that are open to all don't show. */
  readonly admit: (request: IncomingMessage) => void;
  /** What TCP callers must show; undefined: none gets in. */
  readonly token: string | undefined;
  /** Host names that TCP callers may use, besides the loopback's. */
  readonly hosts: readonly string[];
}

/** Statuses of callers that may not use the admin API. */
const REFUSED: ReadonlySet<number> = new Set([401, 403]);

export function createApp(options: AppOptions): FastifyInstance {
  const { callerOf, log, version } = options;
  const refusedLog = ownedLog(log, 'refused admin callers');
  const routes: RouteOptions[] = [];
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    routerOptions: { maxParamLength: 255 },
    schemaController,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, toSidekeyError(error)),
  });
  app.addHook('onRoute', (route) => {
    // A parameter that is not known is refused everywhere, also where there is none: `POST …?dry_run=true` must not write.
    route.schema = { querystring: NO_QUERY, ...route.schema };
    routes.push(route);
  });
  app.addHook('onRequest', async (request, reply) => {
    try {
      checkAccess(request, callerOf(request.raw), options);
    } catch (thrown) {
      // Its connection is not kept, and what it may still send is not read.
      reply.header('connection', 'close');
      throw thrown;
    }
  });
  app.addHook('onResponse', async ({ method, url, raw }, { statusCode }) => {
    if (method === 'GET' || method === 'HEAD') return;
    // Callers that are refused can come as often as they like.
    const to = REFUSED.has(statusCode) ? refusedLog : log;
    to.info({ method, path: pathOf(url), status: statusCode, caller: callerOf(raw) }, 'admin request');
  });
  app.setErrorHandler((thrown, { method, url }, reply) => {
    const error = toSidekeyError(thrown);
    const request = { method, path: pathOf(url) };
    if (ERRORS[error.code].status === 500) log.error({ err: error, ...request }, 'admin request failed');
    // The caller is told all of it. What it sent stays out of the log: a selector may hold an environment value.
    else
      log.debug({ code: error.code, at: error.problems.map(({ path }) => path), ...request }, 'admin request refused');
    return sendProblem(reply, error);
  });
  app.setNotFoundHandler(({ method, url }, reply) => {
    const path = pathOf(url);
    const methods = methodsOf(path, routes);
    if (methods.length === 0) throw new SidekeyError('ERR_NOT_FOUND', `there is no ${path} here`);
    reply.header('allow', methods.join(', '));
    throw new SidekeyError('ERR_METHOD_NOT_ALLOWED', `${path} has ${methods.join(', ')}, not ${method}`);
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJson(body),
  );

  addEntryRoutes(app, options);
  addBundleRoutes(app, options);
  addAliasRoutes(app, options.registry);
  addProxyRoutes(app, options);
  addDecisionRoutes(app, options.decisions);
  addExplainRoutes(app, { ...options, ...options.explain });
  addDoctorRoutes(app, options);
  addEventRoutes(app, options.eventReaders);
  addHealthRoutes(app, options.ready);
  let document: Record<string, unknown> | undefined;
  app.get('/openapi.json', { schema: { summary: 'This document', response: { 200: DOCUMENT } } }, () => {
    document ??= openApiDocument(routes, version);
    return document;
  });
  return app;
}

/** Without the query, which may hold selectors. */
function pathOf(url: string): string {
  return url.split('?', 1)[0]!;
}

/** @throws ERR_FORBIDDEN, ERR_FORBIDDEN_HOST, ERR_UNAUTHORIZED */
function checkAccess(
  request: FastifyRequest,
  caller: AdminCaller | undefined,
  { token, hosts, admit }: AppOptions,
): void {
  if (caller === undefined) throw new SidekeyError('ERR_FORBIDDEN', 'the kernel does not say which process is calling');
  const { host, authorization } = request.headers;
  const open = OPEN_PATHS.has(request.routeOptions.url ?? '');
  const refused = refusal(caller, { host, authorization, open }, { ownerUid: process.geteuid!(), token, hosts });
  if (refused !== undefined) throw refused;
  if (!open) admit(request.raw);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** An empty body is none, whatever its type: some clients send the header with every request. */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(UTF8.decode(body));
  } catch (thrown) {
    throw new SidekeyError('ERR_BAD_JSON', (thrown as Error).message);
  }
}
