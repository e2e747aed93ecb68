import type { FastifyInstance } from 'fastify';
import type { Ledger } from '../delivery/index.ts';
import type { Federation } from '../federation/index.ts';
import type { Decisions, Identities } from '../identity/index.ts';
import type { AuditStore, EntryRules, Registry, WarningsOf } from '../registry/index.ts';
import type { Revoker } from '../revocation/index.ts';
import type { ReservedNames } from '../spiffe/index.ts';
import { addAgentRoutes } from './agents.ts';
import { addAliasRoutes } from './aliases.ts';
import { addAuditRoutes } from './audit.ts';
import { addBackupRoutes, type BackupRouteParts } from './backup.ts';
import { addDocument, type BaseOptions, createBase } from './base-app.ts';
import { addBundleRoutes } from './bundles.ts';
import { type AdminCa, addCaRoutes } from './ca.ts';
import { addDecisionRoutes } from './decisions.ts';
import { addDeclaredRoutes } from './declared.ts';
import { addDoctorRoutes, doctorReport, type SelfKnowledge } from './doctor.ts';
import { addEntryRoutes } from './entries.ts';
import { addPreviewRoutes } from './entry-preview.ts';
import type { EventReaders } from './event-readers.ts';
import { addEventRoutes } from './events.ts';
import { addExplainRoutes, type ExplainRoutesParts } from './explain.ts';
import { addFederationRoutes } from './federation.ts';
import { addFleetRoutes, type FleetRoutesParts } from './fleet.ts';
import { addHealthRoutes, type Readiness } from './health.ts';
import { addIssuanceRoutes } from './issuances.ts';
import { addLogLevelRoutes, type LevelControl } from './log-level.ts';
import { addMetricsRoute, type ReadMetrics } from './metrics.ts';
import { addPageRoutes, type PageFiles } from './page/files.ts';
import { addLiveRoutes, type LiveRoutesParts } from './page/live-routes.ts';
import { addSessionRoutes, type SessionRoutesParts } from './page/session-routes.ts';
import { addProxyRoutes } from './proxies.ts';
import { addRevocationRoutes } from './revocations.ts';
import { addTokenRoutes } from './tokens.ts';

/** Dependencies of the routes. */
export interface AppOptions extends Omit<BaseOptions, 'elsewhere'> {
  readonly registry: Registry;
  readonly ca: AdminCa;
  readonly revoker: Revoker;
  readonly federation: Federation;
  /** The rules for reading entries. */
  readonly entryRules: EntryRules;
  /** The warnings for accepted entries that probably do not do what was meant. */
  readonly warningsOf: WarningsOf;
  readonly ledger: Pick<Ledger, 'connections'>;
  readonly decisions: Pick<Decisions, 'get' | 'list'>;
  readonly fleet?: FleetRoutesParts['fleet'];
  readonly explain: Pick<ExplainRoutesParts, 'identities' | 'inspect' | 'mainPid'> & {
    readonly identities: Pick<Identities, 'preview'>;
  };
  readonly self: SelfKnowledge;
  readonly backup: BackupRouteParts['backup'];
  readonly eventReaders: EventReaders;
  readonly sessions: SessionRoutesParts['sessions'];
  readonly live: LiveRoutesParts['live'];
  readonly pageReaders: EventReaders;
  readonly judge: LiveRoutesParts['judge'];
  readonly tcpListener: SessionRoutesParts['tcpListener'];
  /** Undefined: the page was not built. */
  readonly pageFiles: PageFiles | undefined;
  readonly ready: () => Readiness;
  readonly metrics: ReadMetrics;
  readonly logLevel: LevelControl;
  readonly audit: AuditStore;
  /** SDS names that aliases may not have; undefined: those of SPIRE. */
  readonly reservedNames?: ReservedNames;
}

export function createApp(options: AppOptions): FastifyInstance {
  const base = createBase(options);
  const { app, byOf } = base;
  addEntryRoutes(app, options, byOf);
  addDeclaredRoutes(app, { ...options, ...options.explain }, byOf);
  addPreviewRoutes(app, { ...options, ...options.explain });
  addBundleRoutes(app, options, byOf);
  addFederationRoutes(app, options, byOf);
  addAliasRoutes(app, options.registry, byOf, options.reservedNames);
  addCaRoutes(app, options.ca, byOf);
  addRevocationRoutes(app, options, byOf);
  addProxyRoutes(app, options);
  addDecisionRoutes(app, options.decisions);
  addIssuanceRoutes(app, options);
  addAuditRoutes(app, options.audit);
  addExplainRoutes(app, { ...options, ...options.explain });
  addDoctorRoutes(app, () => doctorReport(options));
  addBackupRoutes(app, options, byOf);
  addEventRoutes(app, options.eventReaders, options.sessions);
  addTokenRoutes(app, options, byOf);
  addAgentRoutes(app, options, byOf);
  addFleetRoutes(app, options);
  addHealthRoutes(app, options.ready);
  addSessionRoutes(app, options, byOf);
  addPageRoutes(app, options.pageFiles);
  addLiveRoutes(app, options);
  addMetricsRoute(app, options.metrics);
  addLogLevelRoutes(app, options, byOf);
  addDocument(base, options.version);
  return app;
}
