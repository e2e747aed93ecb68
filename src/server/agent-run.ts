/**
 * Composes an agent: what serves the callers of this host, with the registry and the authority of a server elsewhere.
 */

import path from 'node:path';
import { createAgentAdmin } from '../admin/index.ts';
import { unreachableUsers } from '../attest/index.ts';
import { type Refusal, Refusals } from '../audit/index.ts';
import { type Clock, SidekeyError, SystemClock, version } from '../base/index.ts';
import type { AgentConfig } from '../config/index.ts';
import { Ledger } from '../delivery/index.ts';
import { JwtSvids } from '../jwt/index.ts';
import { MirroredRegistry, openSqliteStore } from '../registry/index.ts';
import { createMirror, RemoteAuthority, RemoteTokens, Reporter } from '../remote/index.ts';
import { droppedLogLines } from '../telemetry/index.ts';
import { type NodeAttestation, openUplink, type ServerTrust, type Uplink } from '../uplink/index.ts';
import { adminCaller } from './admin-caller.ts';
import { meantSelector, whyNoCallerHas } from './attestors.ts';
import { openCallers } from './callers.ts';
import { openDataDir } from './data-dir.ts';
import { lookAtHost } from './host.ts';
import { levelControl } from './log-level.ts';
import { agentMetricsOf } from './metrics.ts';
import { ReadinessWatch } from './readiness.ts';
import { lookAtAgent } from './self.ts';
import { listenOnSocket } from './socket-file.ts';
import { openContext, type StartContext } from './start-context.ts';
import { Supervisor } from './supervisor.ts';

export interface RunningAgent {
  /** Nothing of an agent is read again; its server tells of changes. */
  reload(): void;
  close(): Promise<void>;
  /** Resolves if the agent cannot go on, with what to do. */
  readonly failed: Promise<SidekeyError>;
}

/** The database of decisions and of the audit of this host. */
const DATABASE = 'agent.db';

/**
 * Serves until it is closed; the promise resolves when the pipe accepts.
 * @throws SidekeyError, or the reason of `stop` if that came first, after closing everything that was open
 */
export async function startAgent(
  config: AgentConfig,
  clock: Clock = new SystemClock(),
  stop: AbortSignal = new AbortController().signal,
  supervisor: Supervisor = Supervisor.take({}),
): Promise<RunningAgent> {
  const context = openContext(config, clock, stop);
  const { log, parts } = context;
  const failed = Promise.withResolvers<SidekeyError>();
  try {
    await start(context, supervisor, stop, failed.resolve);
  } catch (error) {
    await parts.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    failed: failed.promise,
    reload: () => log.info('an agent has nothing to read again: its server tells it of changes'),
    close: () => {
      log.info('stopping');
      closing ??= parts.close().then(() => log.info('stopped'));
      return closing;
    },
  };
}

async function start(
  context: StartContext<AgentConfig>,
  supervisor: Supervisor,
  stop: AbortSignal,
  fatal: (error: SidekeyError) => void,
): Promise<void> {
  const { config, clock, log, parts, meters, mayGoOn } = context;
  const { trustDomain } = config;
  const host = lookAtHost(config, { listeners: 0, forAgents: false }, log);
  const directory = openDataDir(config.dataDir);
  parts.defer(() => directory.release());
  const dataDir = directory.path;
  const store = parts.own(openSqliteStore({ path: path.join(dataDir, DATABASE), trustDomain }));
  const refusals = parts.own(new Refusals({ append: (events) => store.audit.append(events), clock, log }));
  const onRefused = (refusal: Refusal) => refusals.note(refusal);
  await mayGoOn();

  let uplink: Uplink | undefined;
  const connected = (): Uplink => {
    if (uplink !== undefined) return uplink;
    throw new SidekeyError('ERR_CA', 'the agent has not reached its server yet');
  };
  const ledger = new Ledger(log);
  const registry = parts.own(new MirroredRegistry({ trustDomain, clock, log }));
  const { x509SvidKeyType } = config;
  const authority = parts.own(
    new RemoteAuthority({
      ...{ trustDomain, x509SvidKeyType, clock, log },
      uplink: { newSvids: async (requests) => connected().newSvids(requests) },
    }),
  );
  const jwtSvids = parts.own(
    new JwtSvids({
      ...config,
      ...{ clock, log, counters: meters.counters, counts: meters.tokens },
      source: new RemoteTokens({
        ...{ clock, bundle: () => authority.bundle() },
        uplink: { newJwtSvid: async (entryId, audiences) => connected().newJwtSvid(entryId, audiences) },
      }),
    }),
  );
  const callers = await openCallers(context, {
    ...{ host, registry, ca: authority, jwtSvids, ledger, onRefused },
    decisionStore: store.decisions,
  });
  const { decisions, explain, identities } = callers;
  const reporter = parts.own(
    new Reporter({
      ...{ ledger, authority, clock },
      isRevoked: (serial) => identities.isRevoked(serial),
      uplink: { report: (report) => uplink?.report(report) },
    }),
  );
  const onRevoked = (revision: bigint) => {
    for (const replaced of identities.replaceRevoked()) replaced.catch(() => undefined); // logged, and tried again
    reporter.revoked(revision);
  };
  let listens = false;
  const readiness = parts.own(
    new ReadinessWatch(clock, {
      server: () => (uplink === undefined ? 'the server has not given entries and bundle yet' : undefined),
      socket: () => (listens ? undefined : 'it does not accept connections yet'),
    }),
  );
  const serverName = () => uplink?.status.server ?? config.server.map(nameOf).join(', ');
  const admin = createAgentAdmin({
    ...{ registry, ledger, decisions, explain, clock, log, onRefused },
    requests: meters.requests,
    counters: meters.counters,
    audit: store.audit,
    version: version(),
    servers: config.server.map(nameOf),
    status: () => uplink?.status,
    self: {
      look: () => lookAtAgent(config, { ...callers, ...host, dataDir, counters: meters.counters }),
      whyNever: (selector, beside) => whyNoCallerHas(selector, beside, callers.attestors),
      meant: (selector) => meantSelector(selector, callers.attestors),
      unreachable: (uids) => unreachableUsers(uids, config.socket),
      uidOf: (user) => callers.accounts.uid(user),
      usage: callers.usage,
    },
    metrics: (accept) =>
      agentMetricsOf(
        {
          ...{ ...meters, ...callers, registry, clock, dataDir, droppedLogLines },
          ...{ version: version(), database: DATABASE },
          parts: () => readiness.look().parts,
          adminRequests: () => meters.requests.all(),
          uplink: () => uplink?.status,
        },
        accept,
      ),
    ready: () => ({ ...readiness.look(), warnings: warningsOf(uplink, clock.now()) }),
    logLevel: levelControl(log, config.logLevel),
    unixCaller: (socket) => adminCaller(socket, host),
    maxConnections: host.plan.adminConnections,
  });
  parts.defer(() => Promise.all([admin.close(), callers.drain()]));
  parts.own(await listenOnSocket(admin.unix, { path: config.adminSocket, mode: 0o600 }));
  await mayGoOn();

  uplink = parts.own(
    await openUplink(
      {
        ...{ dataDir, trustDomain, clock, log, fatal },
        servers: config.server,
        trust: trustOf(config),
        attestation: attestationOf(config),
        mirror: createMirror({ registry, authority, onRevoked }),
        answer: (asked) => admin.answer(asked),
        syncInterval: config.syncInterval * 1000,
      },
      stop,
    ),
  );
  reporter.start();
  await mayGoOn();
  await callers.listen();
  listens = true;
  const { socket, adminSocket: admin_socket } = config;
  const { agentId, server } = uplink.status;
  log.info(
    { trust_domain: trustDomain, agent: agentId, server, socket, admin_socket, entries: registry.size },
    'serving',
  );
  const summary = () => `serving ${trustDomain} as an agent of ${serverName()}: ${registry.size} entries`;
  parts.own(supervisor.follow({ clock, log, readiness, summary, askStore: () => store.audit.authorityRevision() }));
}

function nameOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What `/readyz` says while the server does not answer. */
function warningsOf(uplink: Uplink | undefined, now: number): string[] {
  const { state, since, server, problem, joinedInsecurely } = uplink?.status ?? {};
  const warnings: string[] = [];
  if (state === 'away') {
    const reason = problem === undefined ? '' : `: ${problem}`;
    const seconds = Math.round((now - since!) / 1000);
    warnings.push(
      `the server ${server ?? ''} has been away for ${seconds} s${reason}. SVIDs are served until they end, and no new ones are made`,
    );
  }
  if (joinedInsecurely === true) warnings.push('the agent joined with --insecure-bootstrap: its server may be anybody');
  return warnings;
}

function trustOf({ trustBundle, trustBundleUrl, insecureBootstrap }: AgentConfig): ServerTrust | undefined {
  if (trustBundle !== undefined) return { file: trustBundle };
  if (trustBundleUrl !== undefined) return { url: trustBundleUrl };
  return insecureBootstrap ? { insecure: true } : undefined;
}

function attestationOf(config: AgentConfig): NodeAttestation | undefined {
  const { joinToken, joinTokenFile, x509popCert, x509popKey } = config;
  if (joinToken !== undefined) return { type: 'join_token', token: joinToken };
  if (joinTokenFile !== undefined) return { type: 'join_token', tokenFile: joinTokenFile };
  if (x509popCert === undefined || x509popKey === undefined) return undefined;
  return { type: 'x509pop', certificateFile: x509popCert, keyFile: x509popKey };
}
