/**
 * Composes the server: opens the parts in the order of their dependencies, closes them in reverse. Only this folder
 * connects the rooms.
 */

import { type Admin, AdminToken, createAdmin, listenOnTcp } from '../admin/index.ts';
import { unreachableUsers } from '../attest/index.ts';
import type { Refusal } from '../audit/index.ts';
import { type Clock, SystemClock, version } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import { Ledger } from '../delivery/index.ts';
import { type Federation, openFederation } from '../federation/index.ts';
import type { CertificateFiles } from '../https/index.ts';
import { JwtSvids, TokenIssuer } from '../jwt/index.ts';
import type { Registry } from '../registry/index.ts';
import { LocalRevoker } from '../revocation/index.ts';
import { droppedLogLines } from '../telemetry/index.ts';
import { adminCaller } from './admin-caller.ts';
import { type Fleet, listenForAgents } from './agents.ts';
import { meantSelector, whyNoCallerHas } from './attestors.ts';
import { Backups } from './backup.ts';
import { openCallers } from './callers.ts';
import { takeEntries, warnOfDeclared } from './declared-entries.ts';
import { entryWarnings } from './entry-warnings.ts';
import { FailedReloads } from './failed-reloads.ts';
import { type PublishedBundle, publishBundle } from './federation.ts';
import { lookAtHost, otherListenersOf } from './host.ts';
import { entryRulesOf, readInputs, tcpListenOf } from './inputs.ts';
import { levelControl } from './log-level.ts';
import { countMoves, metricsOf } from './metrics.ts';
import { listenForOidc } from './oidc.ts';
import { ReadinessWatch } from './readiness.ts';
import { type ReadConfig, Reloader } from './reload.ts';
import { lookAtSelf } from './self.ts';
import { listenOnSocket } from './socket-file.ts';
import { openContext, type StartContext } from './start-context.ts';
import { openState } from './state.ts';
import { Supervisor } from './supervisor.ts';
import { warnOfAssumed, warnOfInputs, warnOfTtl, warnOfWithheld } from './warnings.ts';

export interface Server {
  /** The number of entries. */
  entries(): number;
  /** Reads the files again, as on SIGHUP. Errors are logged and change nothing. */
  reload(readConfig: ReadConfig): void;
  /**
   * Ends every stream with UNAVAILABLE, waits until clients have read it, and closes everything. A second call waits
   * for the first.
   */
  close(): Promise<void>;
}

/** The admin API is loaded this long after a start, in milliseconds, or at its first request. */
const ADMIN_LOAD_MS = 500;

/**
 * Serves until it is closed; the promise resolves when every configured listener accepts.
 * @param supervisor is told what the server does
 * @throws SidekeyError, or the reason of `stop` if that came first, after closing everything that was open
 */
export async function startServer(
  config: ServeConfig,
  clock: Clock = new SystemClock(),
  stop: AbortSignal = new AbortController().signal,
  supervisor: Supervisor = Supervisor.take({}),
): Promise<Server> {
  const context = openContext(config, clock, stop);
  const { log, parts } = context;
  let started: { readonly reloader: Reloader; readonly registry: Registry };
  try {
    started = await start(context, supervisor);
  } catch (error) {
    await parts.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    entries: () => started.registry.size,
    reload: (readConfig) => {
      if (closing === undefined) supervisor.reloading(started.reloader.reload(readConfig));
    },
    close: () => {
      log.info('stopping');
      closing ??= parts.close().then(() => log.info('stopped'));
      return closing;
    },
  };
}

/** What `GET /readyz` says of TLS that works only for now. */
function tlsWarnings(tls: CertificateFiles | undefined): string[] {
  const problem = tls?.state.problem;
  return problem === undefined ? [] : [`admin TLS: ${problem}`];
}

/** What it says while revoked certificates are accepted. */
function revocationWarnings({ revocations }: Registry, ca: CertificateAuthority): string[] {
  const problem = revocations.size === 0 ? undefined : ca.whyNotRevocable();
  return problem === undefined ? [] : [`revoked certificates are accepted: ${problem}`];
}

/** Maximum number of relationships that `GET /readyz` names. */
const MOST_NAMED = 10;

/** What it says of relationships whose bundles are not fetched. */
function federationWarnings(federation: Federation): string[] {
  const troubled = federation.list().filter(({ status: { state } }) => state !== 'fresh' && state !== 'new');
  const warnings = troubled.slice(0, MOST_NAMED).map(({ relationship, status: { state, error } }) => {
    return `federation with ${relationship.trustDomain}: ${state}${error === undefined ? '' : `: ${error.message}`}`;
  });
  const more = troubled.length - warnings.length;
  return more > 0 ? [...warnings, `federation: and ${more} more`] : warnings;
}

/** For `systemctl status`. */
function summaryOf(trustDomain: string, entries: number, failedReloads: FailedReloads): string {
  const serving = `serving ${trustDomain}: ${entries} ${entries === 1 ? 'entry' : 'entries'}`;
  const failed = failedReloads.list().map(({ part }) => part);
  return failed.length === 0 ? serving : `${serving}; the last reload did not apply: ${failed.join(', ')}`;
}

async function start(
  context: StartContext,
  supervisor: Supervisor,
): Promise<{ reloader: Reloader; registry: Registry }> {
  const { config, clock, log, parts, meters, mayGoOn } = context;
  const { counters } = meters;
  const { trustDomain } = config;
  const host = lookAtHost(config, otherListenersOf(config), log);
  const entryRules = entryRulesOf(config);
  const { declared, givenToken, tls, endpointTls, passphrases } = await readInputs(config, entryRules);
  await mayGoOn();
  warnOfInputs(config, log);

  const ledger = new Ledger(log);
  const { dataDir, store, registry, issuances, refusals, ca } = await openState(context, ledger, passphrases);
  warnOfTtl(config, log);
  const jwtSvids = parts.own(
    new JwtSvids({
      ...config,
      source: new TokenIssuer({ ca, issuanceLog: issuances, clock, issuer: config.jwtIssuer }),
      issuances: store.issuances,
      clock,
      log,
      counts: meters.tokens,
      counters,
    }),
  );
  if (declared !== undefined) {
    await mayGoOn();
    await takeEntries(declared, registry, log);
  }
  await mayGoOn();

  const onRefused = (refusal: Refusal) => refusals.note(refusal);
  const { kernel, plan, unmapped } = host;
  const callers = await openCallers(context, {
    ...{ host, registry, ca, jwtSvids, ledger, onRefused },
    decisionStore: store.decisions,
  });
  const { accounts, attestors, decisions, identities, memory, pipe, reservedNames, turns } = callers;
  const warningsOf = entryWarnings({ config, attestors, registry, clock });
  if (declared !== undefined) await warnOfDeclared(declared, warningsOf, registry, log);

  let fleet: Fleet | undefined;
  const revoker = parts.own(
    new LocalRevoker({
      fleet: () => fleet,
      ...{ trustDomain, ca, identities, ledger, clock, log },
      revocations: registry.revocations,
      issuances: store.issuances,
    }),
  );
  const { federationAllow: allowed, federationMinRefresh: minRefresh } = config;
  const { federation } = parts.own(openFederation({ registry, ca, allowed, minRefresh, clock, log }));
  const failedReloads = new FailedReloads(clock);
  const reloaded = { registry, entryRules, failedReloads };
  const listening = new Set<string>();
  const accepts = (listener: string) => () =>
    listening.has(listener) ? undefined : 'it does not accept connections yet';
  const readiness = parts.own(
    new ReadinessWatch(clock, {
      admin_socket: accepts('admin_socket'),
      ...(config.adminListen === undefined ? {} : { admin_tcp: accepts('admin_tcp') }),
      socket: accepts('socket'),
      authority: () => ca.trouble(),
    }),
  );
  countMoves(meters, ca, parts);
  const sources = {
    ...meters,
    version: version(),
    clock,
    dataDir,
    database: 'sidekey.db',
    parts: () => readiness.look().parts,
    published: () => publishedBundle,
    fleet: () => fleet,
    identities,
    ca,
    registry,
    federation,
    pipe,
    usage: callers.usage,
    memory,
    turns,
    adminRequests: () => meters.requests.all(),
    droppedLogLines,
  };
  const token = givenToken ?? (await AdminToken.ofDataDir(dataDir));
  const backups = new Backups({ dataDir, store, ca, clock, log });
  let publishedBundle: PublishedBundle | undefined;
  const published = () => publishedBundle;
  const admin = createAdmin({
    registry,
    ca,
    revoker,
    fleet: () => fleet,
    federation,
    entryRules,
    warningsOf,
    ledger,
    decisions,
    explain: callers.explain,
    self: {
      look: () =>
        lookAtSelf({
          ...{ config, dataDir, attestors, kernel, unmapped, pipe, counters, tls, ca },
          ...{ ...reloaded, published: published() },
        }),
      issuances: store.issuances,
      whyNever: (selector, beside) => whyNoCallerHas(selector, beside, attestors),
      meant: (selector) => meantSelector(selector, attestors),
      entriesFile: config.entries,
      unreachable: (uids) => unreachableUsers(uids, config.socket),
      uidOf: (user) => accounts.uid(user),
      usage: callers.usage,
    },
    judge: async (report) => {
      // Few servers have a reader of the page, and it is a lot of code.
      const { runChecks, serverChecks } = await import('../doctor/index.ts');
      return (await runChecks(serverChecks(report, clock.now(), undefined))).findings;
    },
    backup: () => backups.take(),
    onIssued: (listener) => issuances.onRecorded(listener),
    ready: () => ({
      ...readiness.look(),
      warnings: [
        ...tlsWarnings(tls),
        ...revocationWarnings(registry, ca),
        ...federationWarnings(federation),
        ...(published()?.warnings() ?? []),
      ],
    }),
    metrics: (accept) => metricsOf(sources, accept),
    logLevel: levelControl(log, config.logLevel),
    requests: meters.requests,
    counters,
    log,
    clock,
    version: version(),
    unixCaller: (socket) => adminCaller(socket, host),
    token: () => token.value,
    audit: store.audit,
    onRefused,
    hosts: config.adminHost,
    reservedNames,
    maxConnections: plan.adminConnections,
    tls,
  });
  if (tls !== undefined) parts.defer(tls.watch(clock, log));
  parts.defer(() => {
    backups.close();
    return Promise.all([admin.close(), callers.drain()]);
  });

  await listenForAdmins(admin, context, listening);
  await listenForOidc(context, ca, plan.adminConnections);
  publishedBundle = await publishBundle(context, {
    ...{ ca, registry, tls: endpointTls, maxConnections: plan.adminConnections },
  });
  const maxConnections = plan.agentConnections;
  fleet = await listenForAgents(context, ledger, { registry, ca, jwtSvids, turns, maxConnections, onRefused });
  await mayGoOn();
  await callers.listen();
  warnOfAssumed(config, log);
  listening.add('socket');
  // Clients that connect during the start get their secrets first.
  const load = clock.after(ADMIN_LOAD_MS, () => {
    admin.load().catch((err: unknown) => log.error({ err }, 'the admin API could not be loaded'));
    warnOfWithheld({ identities, decisions, registry }, clock.now(), log).catch((err: unknown) =>
      log.error({ err }, 'the record of decisions could not be read'),
    );
  });
  parts.defer(() => load.cancel());
  const { socket, adminSocket: admin_socket } = config;
  log.info({ trust_domain: trustDomain, socket, admin_socket, entries: registry.size }, 'serving');
  const tokenChanged = () => admin.tokenChanged();
  const reloader = new Reloader({
    ...{ config, ...reloaded, warningsOf, token, tokenChanged, clock, tls, endpointTls, log },
    record: (event) => store.audit.append([event]),
  });
  parts.own(reloader);
  if (declared !== undefined && config.watchEntries) await reloader.watchEntries(declared.file, declared.version);
  const summary = () => summaryOf(trustDomain, registry.size, failedReloads);
  parts.own(supervisor.follow({ clock, log, readiness, summary, askStore: () => store.audit.authorityRevision() }));
  return { reloader, registry };
}

/** @param listening gets the name of each listener that accepts */
async function listenForAdmins(
  admin: Admin,
  { config, parts, log }: StartContext,
  listening: Set<string>,
): Promise<void> {
  parts.own(await listenOnSocket(admin.unix, { path: config.adminSocket, mode: 0o600 }));
  listening.add('admin_socket');
  if (config.adminListen === undefined) return;
  const address = await listenOnTcp(admin.tcp, tcpListenOf(config, config.adminListen));
  listening.add('admin_tcp');
  const tls = config.adminTlsCert !== undefined;
  log.info({ address: address.address, port: address.port, tls }, 'admin API listens on TCP');
}
