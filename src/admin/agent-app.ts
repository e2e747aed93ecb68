/** The Fastify application of an agent: what its host knows. Everything else is asked of the server. */

import type { FastifyInstance } from 'fastify';
import type { EntriesView, RegistryView } from '../registry/index.ts';
import { addDocument, type BaseOptions, createBase } from './base-app.ts';
import { addDecisionRoutes } from './decisions.ts';
import { addEntryReadRoutes } from './entries.ts';
import { addExplainRoutes, type ExplainRoutesParts } from './explain.ts';
import { addHealthRoutes, type Readiness } from './health.ts';
import { addLogLevelRoutes, type LogLevelRouteParts } from './log-level.ts';
import { addProxyRoutes } from './proxies.ts';

export interface AgentAppOptions
  extends Omit<BaseOptions, 'registry' | 'sessions' | 'token' | 'hosts' | 'elsewhere'>,
    LogLevelRouteParts {
  readonly registry: RegistryView & Pick<EntriesView, 'list' | 'get'>;
  readonly ledger: ExplainRoutesParts['ledger'];
  readonly decisions: Parameters<typeof addDecisionRoutes>[1];
  readonly explain: Pick<ExplainRoutesParts, 'identities' | 'inspect' | 'mainPid'>;
  readonly ready: () => Readiness;
  /** The server, for messages. */
  readonly server: () => string;
}

export function createAgentApp(options: AgentAppOptions): FastifyInstance {
  const { registry, server, clock, ledger } = options;
  const base = createBase({
    ...options,
    // The agent has neither tokens nor sessions: its API is on the Unix socket alone.
    registry: { tokens: { find: () => undefined } },
    sessions: { use: () => undefined },
    token: () => undefined,
    hosts: [],
    elsewhere: (path) => {
      return path.startsWith('/v1/')
        ? `${path} is not here: this is an agent, so ask its server, ${server()}`
        : undefined;
    },
  });
  const { app, byOf } = base;
  addEntryReadRoutes(app, registry);
  // The record of issuances is the server's.
  const issuances = { issuedOf: async () => new Set<string>() };
  addProxyRoutes(app, { ledger, registry, clock, self: { issuances } });
  addDecisionRoutes(app, options.decisions);
  addExplainRoutes(app, { ...options, ...options.explain, self: { entriesFile: undefined } });
  addHealthRoutes(app, options.ready);
  addLogLevelRoutes(app, options, byOf);
  addDocument(base, options.version);
  return app;
}
