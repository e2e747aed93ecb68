/** The Fastify application of an agent: what is known on its host. Only the server answers everything else. */

import type { FastifyInstance } from 'fastify';
import { SidekeyError } from '../base/index.ts';
import type { EntriesView, RegistryView, Token } from '../registry/index.ts';
import { type AgentReportParts, agentReport } from './agent-report.ts';
import { addDocument, type BaseOptions, createBase } from './base-app.ts';
import { addDecisionRoutes } from './decisions.ts';
import { addDoctorRoutes } from './doctor.ts';
import { addEntryReadRoutes } from './entries.ts';
import type { EventReaders } from './event-readers.ts';
import { addEventRoutes } from './events.ts';
import { addExplainRoutes, type ExplainRoutesParts } from './explain.ts';
import { addHealthRoutes, type Readiness } from './health.ts';
import { addLogLevelRoutes, type LogLevelRouteParts } from './log-level.ts';
import { methodsOf } from './methods.ts';
import { addMetricsRoute, type ReadMetrics } from './metrics.ts';
import { addProxyRoutes } from './proxies.ts';
import { ROLE_ROUTES } from './roles.ts';

export interface AgentAppOptions
  extends Omit<BaseOptions, 'registry' | 'sessions' | 'token' | 'hosts' | 'elsewhere'>,
    LogLevelRouteParts,
    Pick<AgentReportParts, 'self' | 'servers' | 'status'> {
  readonly registry: RegistryView & Pick<EntriesView, 'list' | 'get'>;
  readonly ledger: ExplainRoutesParts['ledger'];
  readonly decisions: Parameters<typeof addDecisionRoutes>[1];
  readonly explain: Pick<ExplainRoutesParts, 'identities' | 'inspect' | 'mainPid'> & AgentReportParts['explain'];
  readonly eventReaders: EventReaders;
  /** The token of the server's questions; it may read. */
  readonly asking: string;
  readonly ready: () => Readiness;
  readonly metrics: ReadMetrics;
}

/** The methods and paths of a server. */
const OF_SERVER = ROLE_ROUTES.map((route) => {
  const [method, url] = route.split(' ') as [string, string];
  return { method, url };
});

export function createAgentApp(options: AgentAppOptions): FastifyInstance {
  const { registry, clock, ledger } = options;
  const base = createBase({
    ...options,
    // The API of an agent is on its Unix socket alone, so it has no other tokens, and no sessions.
    registry: { tokens: { find: (text) => (text === options.asking ? asker() : undefined) } },
    sessions: { use: () => undefined },
    token: () => undefined,
    hosts: [],
    elsewhere: (method, path) => {
      return methodsOf(path, OF_SERVER).includes(method) ? askServer(method, path, options) : undefined;
    },
  });
  const { app, byOf } = base;
  addEntryReadRoutes(app, registry);
  // The record of issuances is the server's.
  const issuances = { issuedOf: async () => new Set<string>() };
  addProxyRoutes(app, { ledger, registry, clock, self: { issuances } });
  addDecisionRoutes(app, options.decisions);
  const agent = () => ({ server: serverOf(options), agentId: options.status()?.agentId });
  addExplainRoutes(app, { ...options, ...options.explain, self: { entriesFile: undefined }, agent });
  addDoctorRoutes(app, () => agentReport(options));
  addEventRoutes(app, options.eventReaders, { hold: () => () => undefined });
  addHealthRoutes(app, options.ready);
  addMetricsRoute(app, options.metrics);
  addLogLevelRoutes(app, options, byOf);
  addDocument(base, options.version);
  return app;
}

function asker(): Token {
  return { name: 'server', role: 'read', hash: '', createdAt: 0, expiresAt: 0 };
}

function askServer(method: string, path: string, options: Pick<AgentAppOptions, 'servers' | 'status'>): SidekeyError {
  const server = serverOf(options);
  const message = `this is an agent, and ${method} ${path} is answered by its server alone (${server}): ask there, on its host or with --admin-url`;
  return new SidekeyError('ERR_ASK_SERVER', message, { extra: { server } });
}

/** The one that is connected, or was last; else all of the settings. */
function serverOf({ servers, status }: Pick<AgentAppOptions, 'servers' | 'status'>): string {
  return status()?.server ?? servers.join(', ');
}
