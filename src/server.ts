/**
 * The composition: builds the parts, starts them in the order in which they need each other, stops them in the other.
 * Only here do the rooms meet.
 */

import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { createAdmin } from './admin/admin.ts';
import type { SelfKnowledge } from './admin/doctor.ts';
import { listenAddress, listenOnTcp } from './admin/tcp.ts';
import { adminToken, readAdminTokenFile } from './admin/token.ts';
import { createAccounts } from './attest/accounts.ts';
import { createDockerAttestor, type DockerAttestor } from './attest/docker/docker.ts';
import { DOCKER_KINDS } from './attest/docker/selectors.ts';
import { createExitWatcher } from './attest/exit-watcher.ts';
import { createInspector } from './attest/inspect.ts';
import { createPipe, PIPE_LIMITS } from './attest/pipe.ts';
import { checkProc } from './attest/proc.ts';
import { readProcView } from './attest/proc-view.ts';
import { whyNever } from './attest/producible.ts';
import { peerCredentials } from './attest/socket-peer.ts';
import type { Attestor } from './attest/types.ts';
import { createUnixAttestor } from './attest/unix.ts';
import { type Clock, SystemClock } from './base/clock.ts';
import { openDataDir } from './base/data-dir.ts';
import { formatDuration } from './base/duration.ts';
import { descriptors, diskOf } from './base/resources.ts';
import { listenOnSocket } from './base/socket-file.ts';
import { version } from './base/version.ts';
import { longestKeptSvidTtl, openCertificateAuthority } from './ca/index.ts';
import { ToldIssuances } from './ca/told-issuances.ts';
import type { ServeConfig } from './config/serve-config.ts';
import { Decisions } from './identity/decisions.ts';
import { Identities } from './identity/identities.ts';
import { openRegistry } from './registry/registry.ts';
import { openSqliteStore } from './registry/sqlite-store.ts';
import type { EntryInput, EntryRules, Registry } from './registry/types.ts';
import { Ledger } from './sds/ledger.ts';
import { secretDiscoveryService } from './sds/service.ts';
import { Counters } from './telemetry/counters.ts';
import { createLog, type Log } from './telemetry/log.ts';
import { createWire } from './wire/wire.ts';

export interface Server {
  /** Tells every stream UNAVAILABLE, lets it be read, closes what is open; the second call waits for the first. */
  close(): Promise<void>;
}

/** How long clients have to read the last status before their connections are cut, in milliseconds. */
const DRAIN_MS = 2_000;
/** How long after a start the admin API is loaded at the latest, in milliseconds; who asks it loads it. */
const ADMIN_LOAD_MS = 500;
/** The `source` of entries that a file declares. */
const FILE_SOURCE = 'file';
/** Hashing a large binary takes a while, so it is done only while an entry asks for it; so is asking a container engine. */
const SHA256 = 'unix:sha256';

/**
 * Serves until it is closed; the promise is kept when every configured listener accepts.
 * @throws SidekeyError, or the reason of `stop` when that came first, with everything that had been opened closed again
 */
export async function startServer(
  config: ServeConfig,
  clock: Clock = new SystemClock(),
  stop: AbortSignal = new AbortController().signal,
): Promise<Server> {
  const log = createLog(config.logLevel);
  const closers: (() => void | Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) {
      // One part that fails to close is no reason to leave the others open.
      try {
        await closer();
      } catch (err) {
        log.error({ err }, 'a part could not be closed');
      }
    }
  };
  try {
    await start(config, clock, log, closers, stop);
  } catch (error) {
    await close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    close: () => {
      log.info('stopping');
      closing ??= close().then(() => log.info('stopped'));
      return closing;
    },
  };
}

async function start(
  config: ServeConfig,
  clock: Clock,
  log: Log,
  closers: (() => void | Promise<void>)[],
  stop: AbortSignal,
): Promise<void> {
  const { trustDomain } = config;
  /** Between steps, some of which take a while: signals are heard only when the event loop turns. */
  const mayGoOn = async () => {
    await turn();
    stop.throwIfAborted();
  };
  checkProc();
  const entryRules: EntryRules = {
    trustDomain,
    allowWeakSelectors: config.allowWeakSelectors,
    attestors: new Set(config.dockerSocket === undefined ? ['unix'] : ['unix', 'docker']),
    warn: (problem) => log.warn(problem, 'an entry asks for what no attestor says'),
  };
  // What the settings name is looked at before anything is made for them.
  if (config.adminListen !== undefined) {
    await listenAddress({ ...config.adminListen, insecure: config.adminInsecureListen });
  }
  const givenToken = config.adminTokenFile === undefined ? undefined : await readAdminTokenFile(config.adminTokenFile);
  const declared = config.entries === undefined ? undefined : await readDeclared(config.entries, entryRules);
  await mayGoOn();
  const dataDir = openDataDir(config.dataDir);
  closers.push(() => dataDir.release());

  const store = openSqliteStore({ path: path.join(dataDir.path, 'sidekey.db'), trustDomain });
  closers.push(() => store.close());
  const registry = await openRegistry({ store, trustDomain, clock, log });
  closers.push(() => registry.close());
  await mayGoOn();
  const issuances = new ToldIssuances(store);
  const ca = await openCertificateAuthority({
    trustDomain,
    dir: path.join(dataDir.path, 'ca'),
    clock,
    log,
    issuanceLog: issuances,
    caTtl: config.caTtl,
    x509SvidTtl: config.x509SvidTtl,
    caSubject: config.caSubject,
  });
  closers.push(() => ca.close());
  warnOfTtl(config, log);

  if (declared !== undefined) {
    await mayGoOn();
    await takeEntries(declared, config.entries, registry, log);
  }
  await mayGoOn();

  const lazyKinds = config.dockerSocket === undefined ? [SHA256] : [SHA256, ...DOCKER_KINDS];
  const accounts = createAccounts();
  const { bundleFor } = config;
  const accountsRevision = () => accounts.revision();
  const identities = new Identities({ registry, ca, clock, log, bundleFor, lazyKinds, accountsRevision });
  closers.push(() => identities.close());

  const attestors: Attestor[] = [createUnixAttestor({ log, accounts, wantSha256: () => registry.asksFor(SHA256) })];
  let docker: DockerAttestor | undefined;
  if (config.dockerSocket !== undefined) {
    const asksFor = (kind: string) => registry.asksFor(kind);
    const onChange = () => identities.factsMayDiffer();
    const created = createDockerAttestor({ socketPath: config.dockerSocket, clock, log, asksFor, onChange });
    closers.push(() => created.close());
    attestors.push(created);
    docker = created;
  }
  const decisions = await Decisions.open({ store: store.decisions, clock, log });
  closers.push(() => decisions.close());
  const exitWatcher = createExitWatcher();
  closers.push(() => exitWatcher.close());
  const counters = new Counters();
  const ledger = new Ledger();
  const validation = config.disableSpiffeCertValidation ? 'plain' : 'spiffe';
  const wire = createWire({
    methods: secretDiscoveryService({ identities, trustDomain, clock, log, counters, ledger, decisions, validation }),
    clock,
    log,
    counters,
    limits: {
      callsPerUid: config.maxStreamsPerUid,
      requestsPerSecondPerUid: config.maxRequestsPerSecondPerUid,
    },
  });
  const pipe = createPipe({
    attestors,
    exitWatcher,
    clock,
    log,
    limits: { connectionsPerUid: config.maxConnectionsPerUid },
    counters,
    onConnection: (socket, peer) => wire.inject(socket, peer),
  });

  let ready = false;
  const admin = createAdmin({
    registry,
    ca,
    entryRules,
    ledger,
    decisions,
    explain: {
      identities,
      inspect: createInspector({ attestors, clock, attestTimeoutMs: PIPE_LIMITS.attestTimeoutMs }),
      mainPid: docker && ((nameOrId) => docker.mainPid(nameOrId)),
    },
    self: {
      look: () => lookAtSelf(config, dataDir.path, docker),
      authorities: () => ca.authorities(),
      issuances: store,
      whyNever: (selector) => whyNever(selector, entryRules.attestors, accounts),
      limits: { connectionsPerUid: config.maxConnectionsPerUid, streamsPerUid: config.maxStreamsPerUid },
    },
    onIssued: (listener) => issuances.onRecorded(listener),
    ready: () => (ready ? { ready } : { ready, reason: 'not every listener accepts yet' }),
    log,
    clock,
    version: version(),
    peerUid: (socket) => peerCredentials(socket).uid,
    token: givenToken ?? (await adminToken(dataDir.path)),
    hosts: config.adminHost,
  });
  closers.push(async () => {
    await Promise.all([admin.close(), wire.close(DRAIN_MS)]);
  });

  const adminFile = await listenOnSocket(admin.unix, { path: config.adminSocket, mode: 0o600 });
  closers.push(() => adminFile.close());
  if (config.adminListen !== undefined) {
    const { host, port } = config.adminListen;
    const address = await listenOnTcp(admin.tcp, { host, port, insecure: config.adminInsecureListen });
    log.info({ address: address.address, port: address.port }, 'admin API listens on TCP');
  }
  await mayGoOn();
  const pipeFile = await listenOnSocket(pipe.server, {
    path: config.socket,
    mode: config.socketMode,
    group: config.socketGroup,
  });
  closers.push(() => pipeFile.close());
  ready = true;
  // Those who came with the start have their secrets first.
  const load = clock.after(ADMIN_LOAD_MS, () => {
    admin.load().catch((err: unknown) => log.error({ err }, 'the admin API could not be loaded'));
  });
  closers.push(() => load.cancel());
  log.info(
    { trust_domain: trustDomain, socket: config.socket, admin_socket: config.adminSocket, entries: registry.size },
    'serving',
  );
}

function warnOfTtl(config: ServeConfig, log: Log): void {
  const kept = longestKeptSvidTtl(config.caTtl);
  if (config.x509SvidTtl <= kept) return;
  log.warn(
    {
      x509_svid_ttl: formatDuration(config.x509SvidTtl),
      ca_ttl: formatDuration(config.caTtl),
      always_kept: formatDuration(kept),
    },
    'SVIDs end with the intermediate that signs them: the TTL asked for is cut short in the second half of its life',
  );
}

async function lookAtSelf(
  config: ServeConfig,
  dataDir: string,
  docker: DockerAttestor | undefined,
): ReturnType<SelfKnowledge['look']> {
  const { othersExecutables, hidepid } = readProcView();
  const { freeBytes, freeInodes } = await diskOf(dataDir);
  const attestors: { name: string; error: string | null }[] = [{ name: 'unix', error: null }];
  if (docker !== undefined) {
    const error = await docker.check().then(
      () => null,
      (thrown: Error) => thrown.message,
    );
    attestors.push({ name: 'docker', error });
  }
  return {
    data_dir: dataDir,
    socket: config.socket,
    admin_socket: config.adminSocket,
    docker_socket: config.dockerSocket ?? null,
    attestors,
    proc: { others_executables: othersExecutables, hidepid: hidepid ?? null },
    disk: { free_bytes: freeBytes, free_inodes: freeInodes },
    descriptors: descriptors(),
  };
}

/** The reader of YAML is loaded for those who have a file. */
async function readDeclared(file: string, rules: EntryRules): Promise<readonly EntryInput[]> {
  const { loadEntriesFile } = await import('./registry/entries-file.ts');
  return loadEntriesFile(file, rules);
}

async function takeEntries(
  inputs: readonly EntryInput[],
  file: string | undefined,
  registry: Registry,
  log: Log,
): Promise<void> {
  const { created, changed, deleted, kept } = await registry.replaceSource(FILE_SOURCE, inputs);
  log.info(
    { file, created: created.length, changed: changed.length, deleted: deleted.length, kept: kept.length },
    'entries of the file taken over',
  );
}
