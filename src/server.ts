/**
 * The composition: builds the parts, starts them in the order in which they need each other, stops them in the other.
 * Only here do the rooms meet.
 */

import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type Admin, createAdmin } from './admin/admin.ts';
import type { SelfKnowledge } from './admin/doctor.ts';
import { listenAddress, listenOnTcp } from './admin/tcp.ts';
import { adminToken, readAdminTokenFile } from './admin/token.ts';
import { createAccounts } from './attest/accounts.ts';
import { readAdminCaller } from './attest/admin-caller.ts';
import { isKept } from './attest/asked.ts';
import { runningWith } from './attest/catalog.ts';
import { createWhyContained, nobodyContained, type WhyContained } from './attest/contained.ts';
import type { RunningAttestor } from './attest/description.ts';
import { createExitWatcher } from './attest/exit-watcher.ts';
import { createInspector } from './attest/inspect.ts';
import { type Kernel, probeKernel } from './attest/kernel.ts';
import { createOwnerOf } from './attest/owner-of.ts';
import { ATTEST_TIMEOUT_MS, createPipe, type Pipe } from './attest/pipe.ts';
import { checkProc } from './attest/proc/self.ts';
import { readProcView } from './attest/proc-view.ts';
import { isKeptIfAsked, LAZY_KINDS } from './attest/selector-kinds.ts';
import { createSubordinateIds } from './attest/subordinate-ids.ts';
import { type Clock, SystemClock } from './base/clock.ts';
import { openDataDir } from './base/data-dir.ts';
import { formatDuration } from './base/duration.ts';
import { SidekeyError } from './base/errors.ts';
import { type DescriptorPlan, descriptorLimit, descriptors, diskOf, planDescriptors } from './base/resources.ts';
import { listenOnSocket } from './base/socket-file.ts';
import { whoCanChange } from './base/trusted-file.ts';
import { octal, walkPath } from './base/trusted-path.ts';
import { readUnmappedIds, type UnmappedIds } from './base/unmapped-ids.ts';
import { observer } from './base/user-ids.ts';
import { version } from './base/version.ts';
import { longestKeptSvidTtl, openCertificateAuthority } from './ca/index.ts';
import { ToldIssuances } from './ca/told-issuances.ts';
import type { ServeConfig } from './config/serve-config.ts';
import { Decisions } from './identity/decisions.ts';
import { Identities } from './identity/identities.ts';
import { type WithheldParts, withheldEntries } from './identity/withheld.ts';
import { MemoryBudget, memoryLimits } from './limits/memory.ts';
import { Owners } from './limits/owner.ts';
import { QUOTA_LIMITS, Quota } from './limits/quota.ts';
import { Turns } from './limits/turns.ts';
import { openRegistry } from './registry/registry.ts';
import { openSqliteStore } from './registry/sqlite-store.ts';
import type { EntryInput, EntryRules, Registry } from './registry/types.ts';
import { Ledger } from './sds/ledger.ts';
import { secretDiscoveryService } from './sds/service.ts';
import { formatSelector, type Selector } from './spiffe/selector.ts';
import { Counters } from './telemetry/counters.ts';
import { createLog, type Log } from './telemetry/log.ts';
import { createWire } from './wire/wire.ts';

export interface Server {
  /** Tells every stream UNAVAILABLE, lets it be read, closes what is open; the second call waits for the first. */
  close(): Promise<void>;
}

/** Closes one part of the server. */
type Closer = () => void | Promise<void>;

/** How long clients have to read the last status before their connections are cut, in milliseconds. */
const DRAIN_MS = 2_000;
/** How long after a start the admin API is loaded at the latest, in milliseconds; who asks it loads it. */
const ADMIN_LOAD_MS = 500;
/** The `source` of entries that a file declares. */
const FILE_SOURCE = 'file';

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
  const closers: Closer[] = [];
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

async function start(config: ServeConfig, clock: Clock, log: Log, closers: Closer[], stop: AbortSignal): Promise<void> {
  const { trustDomain } = config;
  /** Between steps, some of which take a while: signals are heard only when the event loop turns. */
  const mayGoOn = async () => {
    await turn();
    stop.throwIfAborted();
  };
  const { kernel, unmapped, whyContained, plan } = lookAtHost(config, log);
  const entryRules: EntryRules = {
    trustDomain,
    allowWeakSelectors: config.allowWeakSelectors,
    attestors: new Set(runningWith(config).map(({ type }) => type)),
    warn: (problem) => log.warn(problem, 'an entry asks for what no attestor says'),
  };
  // What the settings name is looked at before anything is made for them.
  if (config.adminListen !== undefined) {
    await listenAddress({ ...config.adminListen, insecure: config.adminInsecureListen });
  }
  const givenToken = config.adminTokenFile === undefined ? undefined : await readAdminTokenFile(config.adminTokenFile);
  const declared = config.entries === undefined ? undefined : await readDeclared(config.entries, entryRules);
  await mayGoOn();
  warnOfInputs(config, log);
  const dataDir = openDataDir(config.dataDir);
  closers.push(() => dataDir.release());

  const store = openSqliteStore({ path: path.join(dataDir.path, 'sidekey.db'), trustDomain });
  closers.push(() => store.close());
  const registry = await openRegistry({ store, trustDomain, clock, log });
  closers.push(() => registry.close());
  await mayGoOn();
  const issuances = new ToldIssuances(store, log);
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

  const accounts = createAccounts();
  const { bundleFor } = config;
  const accountsRevision = () => accounts.revision();
  const identities = new Identities({
    registry,
    ca,
    clock,
    log,
    bundleFor,
    lazyKinds: LAZY_KINDS,
    isKeptIfAsked,
    accountsRevision,
  });
  closers.push(() => identities.close());

  const attestors: RunningAttestor[] = [];
  closers.push(() => {
    for (const attestor of attestors) attestor.close?.();
  });
  for (const description of runningWith(config)) {
    const onChange = () => identities.factsMayDiffer();
    const parts = { clock, log, accounts, unmapped, asked: registry, onChange };
    attestors.push(await description.create(parts, config));
  }
  const decisions = await Decisions.open({ store: store.decisions, clock, log });
  closers.push(() => decisions.close());
  const exitWatcher = createExitWatcher();
  closers.push(() => exitWatcher.close());
  const counters = new Counters();
  const ledger = new Ledger(log);
  const validation = config.disableSpiffeCertValidation ? 'plain' : 'spiffe';
  const { owners, quota, memory, turns } = createLimits(plan, config, counters, log);
  const wire = createWire({
    methods: secretDiscoveryService({
      identities,
      trustDomain,
      clock,
      log,
      counters,
      ledger,
      decisions,
      validation,
      turns,
    }),
    clock,
    log,
    quota,
    memory,
    turns,
  });
  const pipe = createPipe({
    attestors,
    whyContained,
    exitWatcher,
    clock,
    log,
    quota,
    turns,
    keeps: (selector) => isKept(selector, registry),
    ownerOf: createOwnerOf(
      owners,
      createSubordinateIds((user) => accounts.uid(user)),
    ),
    pinByPid: !kernel.pinsPeers,
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
      inspect: createInspector({ attestors, whyContained, clock, attestTimeoutMs: ATTEST_TIMEOUT_MS }),
      mainPid: attestors.find(({ mainPid }) => mainPid !== undefined)?.mainPid,
    },
    self: {
      look: () => lookAtSelf({ config, dataDir: dataDir.path, attestors, kernel, unmapped, pipe, counters }),
      authorities: () => ca.authorities(),
      issuances: store,
      whyNever: (selector) => whyNever(selector, attestors),
      usage: () => usageOf(quota, owners),
    },
    onIssued: (listener) => issuances.onRecorded(listener),
    ready: () => (ready ? { ready } : { ready, reason: 'not every listener accepts yet' }),
    log,
    clock,
    version: version(),
    unixCaller: (socket) => {
      const { uid, contained } = readAdminCaller(socket, whyContained, !kernel.pinsPeers);
      // The overflow id may be any user's, so it is nobody's here: not the owner's either, where the owner reads as that.
      return { uid: uid === unmapped.uid ? NOBODY : uid, contained };
    },
    token: givenToken ?? (await adminToken(dataDir.path)),
    hosts: config.adminHost,
    maxConnections: plan.adminConnections,
  });
  closers.push(async () => {
    await Promise.all([admin.close(), wire.close(DRAIN_MS)]);
  });

  await listenForAdmins(admin, config, closers, log);
  await mayGoOn();
  const pipeFile = await listenOnSocket(pipe.server, {
    path: config.socket,
    mode: config.socketMode,
    group: config.socketGroup,
  });
  closers.push(() => pipeFile.close());
  warnOfAssumed(config, log);
  ready = true;
  // Those who came with the start have their secrets first.
  const load = clock.after(ADMIN_LOAD_MS, () => {
    admin.load().catch((err: unknown) => log.error({ err }, 'the admin API could not be loaded'));
    warnOfWithheld({ identities, decisions, registry }, clock.now(), log).catch((err: unknown) =>
      log.error({ err }, 'the record of decisions could not be read'),
    );
  });
  closers.push(() => load.cancel());
  log.info(
    { trust_domain: trustDomain, socket: config.socket, admin_socket: config.adminSocket, entries: registry.size },
    'serving',
  );
}

async function listenForAdmins(admin: Admin, config: ServeConfig, closers: Closer[], log: Log): Promise<void> {
  const file = await listenOnSocket(admin.unix, { path: config.adminSocket, mode: 0o600 });
  closers.push(() => file.close());
  if (config.adminListen === undefined) return;
  const { host, port } = config.adminListen;
  const address = await listenOnTcp(admin.tcp, { host, port, insecure: config.adminInsecureListen });
  log.info({ address: address.address, port: address.port }, 'admin API listens on TCP');
}

/** The kernel's and the machine's means for attestation and connections. */
interface Host {
  readonly kernel: Kernel;
  readonly unmapped: UnmappedIds;
  readonly whyContained: WhyContained;
  readonly plan: DescriptorPlan;
}

/** Warns of what the machine lacks. @throws ERR_PROC, ERR_KERNEL where attestation can't do without it */
function lookAtHost(config: ServeConfig, log: Log): Host {
  checkProc();
  const whyContained = config.allowContained ? nobodyContained : createWhyContained();
  const kernel = probeKernel();
  checkPinning(kernel, config, log);
  const plan = planDescriptors(descriptorLimit(), {
    adminConnections: config.adminMaxConnections,
    pipeConnectionsPerUid: config.maxConnectionsPerUid,
  });
  warnOfDescriptors(plan, config, log);
  return { kernel, unmapped: readUnmappedIds(), whyContained, plan };
}

function createLimits(plan: DescriptorPlan, config: ServeConfig, counters: Counters, log: Log) {
  const owners = new Owners();
  const quota = new Quota(
    {
      ...QUOTA_LIMITS,
      connectionsPerUid: plan.pipeConnectionsPerUid,
      connections: plan.pipeConnections,
      callsPerUid: config.maxStreamsPerUid,
      requestsPerSecondPerUid: config.maxRequestsPerSecondPerUid,
    },
    counters,
  );
  const memory = new MemoryBudget(memoryLimits(), owners, counters);
  const turns = new Turns((err) => log.error({ err }, "work for a caller, done in its owner's turn, threw an error"));
  return { owners, quota, memory, turns };
}

function warnOfDescriptors(plan: DescriptorPlan, config: ServeConfig, log: Log): void {
  const { adminConnections, pipeConnectionsPerUid } = plan;
  if (adminConnections === config.adminMaxConnections && pipeConnectionsPerUid === config.maxConnectionsPerUid) return;
  log.warn(
    { descriptors: descriptorLimit(), ...plan },
    'few descriptors (RLIMIT_NOFILE, ulimit -n): fewer connections are allowed than the settings say',
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

/** Files that decide which caller gets which identity, besides the data directory. */
function inputsOf({ config, entries }: ServeConfig): { setting: string; path: string }[] {
  const inputs = { '--config': config, '--entries': entries };
  return Object.entries(inputs).flatMap(([setting, path]) => (path === undefined ? [] : [{ setting, path }]));
}

/**
 * Warns of files that others can change. It refuses none: the file of a clone's owner, mounted into root's container, and a
 * clone made with umask 002 are both usual.
 */
function warnOfInputs(config: ServeConfig, log: Log): void {
  for (const { setting, path: file } of inputsOf(config)) {
    let places: ReturnType<typeof whoCanChange>;
    try {
      places = whoCanChange(file);
    } catch (err) {
      log.warn({ setting, file, err }, 'cannot find out who can change this file');
      continue;
    }
    if (places.length === 0) continue;
    const by = places.map(({ place, uid, mode }) => ({ place, uid, mode: octal(mode) }));
    log.warn(
      { setting, file, by },
      'others can change this file: whoever can write it decides who gets which identity',
    );
  }
}

/** Warns of directories that were taken for root's because their owner has no number here. */
function warnOfAssumed(config: ServeConfig, log: Log): void {
  const me = observer();
  const assumed = new Map(
    [config.dataDir, config.socket, config.adminSocket]
      .flatMap((place) => walkPath(place, me).assumed)
      .map(({ place, uid, mode }) => [place, { place, uid, mode: octal(mode) }]),
  );
  if (assumed.size === 0) return;
  log.warn(
    { directories: [...assumed.values()] },
    'the owner of these directories has no number in this user namespace: taken for root of the host, since / has the same owner',
  );
}

/** The most entries that one line names. */
const NAMED_WITHHELD = 5;

/** Warns of entries that callers in containers asked for and did not get, by the record of decisions and the live callers. */
async function warnOfWithheld(parts: WithheldParts, now: number, log: Log): Promise<void> {
  const entries = await withheldEntries(parts, now);
  if (entries.length === 0) return;
  const named = entries.slice(0, NAMED_WITHHELD).map(({ entry }) => ({ id: entry.id, spiffe_id: entry.spiffeId }));
  log.warn(
    { entries: named, more: entries.length - named.length },
    'callers in containers do not get these entries, which have no container selector; sidekey doctor says more',
  );
}

/** (uid_t) -1, which no process has. */
const NOBODY = 0xffff_ffff;

/** @throws ERR_KERNEL where a process might pass for another one, and nobody said that it may */
function checkPinning({ pinsPeers, noPidfdOpen }: Kernel, config: ServeConfig, log: Log): void {
  if (noPidfdOpen !== undefined) {
    const saysContainers = runningWith(config).some(({ container }) => container !== undefined);
    const containers = saysContainers ? ', and no caller in a container is attested' : '';
    log.warn({ reason: noPidfdOpen }, `sidekey explain --pid does not work here${containers}`);
  }
  if (pinsPeers) return;
  const hole =
    'a process that ends right after it connected may leave its pid to another one of the same user, which then gives its identities to whoever holds the connection';
  if (config.allowUnpinnedPeers) {
    log.warn({ setting: 'allowUnpinnedPeers' }, `this kernel has no SO_PEERPIDFD (Linux has it since 6.5): ${hole}`);
    return;
  }
  throw new SidekeyError(
    'ERR_KERNEL',
    `getsockopt(SO_PEERPIDFD) fails, which Linux has since 6.5: ${hole}. Take a newer kernel, or accept that with --allow-unpinned-peers`,
  );
}

interface SelfParts {
  readonly config: ServeConfig;
  readonly dataDir: string;
  readonly attestors: readonly RunningAttestor[];
  readonly kernel: Kernel;
  readonly unmapped: UnmappedIds;
  readonly pipe: Pick<Pipe, 'replacedPrograms'>;
  readonly counters: Counters;
}

function usageOf(quota: Quota, owners: Owners): ReturnType<SelfKnowledge['usage']> {
  const { connections, calls } = quota.nearest(owners.accounts());
  const uses = { '--max-connections-per-uid': connections, '--max-streams-per-uid': calls };
  return Object.entries(uses).flatMap(([setting, use]) => (use === undefined ? [] : [{ setting, ...use }]));
}

/** The most replaced programs that are named. */
const REPLACED_SAMPLE = 20;
/** The most labels that are named. */
const AMBIGUOUS_SAMPLE = 20;

/** Looks at each part by itself: one that can't be read now, as for want of a descriptor, does not keep back the others. */
async function lookAtSelf(parts: SelfParts): ReturnType<SelfKnowledge['look']> {
  const { config, dataDir, attestors, kernel, unmapped, pipe, counters } = parts;
  const unseen: { what: string; error: string }[] = [];
  const part = async <T>(what: string, look: () => T | Promise<T>): Promise<T | null> => {
    try {
      return await look();
    } catch (thrown) {
      unseen.push({ what, error: (thrown as Error).message });
      return null;
    }
  };
  const view = await part('/proc', readProcView);
  const disk = await part(`the file system of ${dataDir}`, () => diskOf(dataDir));
  const used = await part('descriptors', descriptors);
  const replaced = pipe.replacedPrograms();
  const ambiguous = attestors.flatMap((attestor) => attestor.ambiguousLabels?.() ?? []);
  return {
    data_dir: dataDir,
    socket: config.socket,
    admin_socket: config.adminSocket,
    docker_socket: config.dockerSocket ?? null,
    inputs: inputsOf(config),
    attestors: await Promise.all(attestors.map(probe)),
    proc: view && { others_executables: view.othersExecutables, hidepid: view.hidepid ?? null },
    disk: disk && { free_bytes: disk.freeBytes, free_inodes: disk.freeInodes },
    descriptors: used && { ...used, refused_connections: counters.get('connections_without_descriptors_total') },
    unseen,
    kernel: { pins_peers: kernel.pinsPeers, no_pidfd_open: kernel.noPidfdOpen ?? null },
    unmapped: { uid: unmapped.uid ?? null, gid: unmapped.gid ?? null },
    replaced_programs: {
      count: replaced.length,
      sample: replaced
        .toSorted((a, b) => Number(a.keepsPath) - Number(b.keepsPath))
        .slice(0, REPLACED_SAMPLE)
        .map(({ pid, uid, path, keepsPath }) => ({ pid, uid, path, keeps_path: keepsPath })),
    },
    ambiguous_labels: {
      count: ambiguous.length,
      sample: ambiguous
        .slice(0, AMBIGUOUS_SAMPLE)
        .map(({ container, selector }) => ({ container, selector: formatSelector(selector) })),
    },
  };
}

async function probe(attestor: RunningAttestor): Promise<{ name: string; error: string | null }> {
  const { name } = attestor;
  try {
    await attestor.check?.();
    return { name, error: null };
  } catch (thrown) {
    return { name, error: (thrown as Error).message };
  }
}

/** Says why no caller has the selector; undefined where one may. */
function whyNever(selector: Selector, attestors: readonly RunningAttestor[]): string | undefined {
  const attestor = attestors.find(({ name }) => name === selector.type);
  return attestor === undefined ? `no ${selector.type} attestor runs here` : attestor.whyNever?.(selector.value);
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
