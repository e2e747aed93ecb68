/** Composes what serves the callers of this host: attestation, identities, SDS and the Workload API on the pipe. */

import {
  ATTEST_TIMEOUT_MS,
  createAccounts,
  createExitWatcher,
  createInspector,
  createOwnerOf,
  createPipe,
  createSubordinateIds,
  isKept,
  isKeptIfAsked,
  LAZY_KINDS,
  reachOf,
} from '../attest/index.ts';
import type { Refusal } from '../audit/index.ts';
import { makeThrowAwayRoot, type SvidAuthority } from '../ca/index.ts';
import type { HostConfig } from '../config/index.ts';
import type { Ledger } from '../delivery/index.ts';
import { Decisions, Identities } from '../identity/index.ts';
import type { JwtSvids } from '../jwt/index.ts';
import type { DecisionStore, RegistryView } from '../registry/index.ts';
import { Nobody, secretDiscoveryService } from '../sds/index.ts';
import { standardServices } from '../standard/index.ts';
import { createWire } from '../wire/index.ts';
import { workloadApi } from '../workload-api/index.ts';
import { openAttestors } from './attestors.ts';
import type { Host } from './host.ts';
import { createLimits, usageOf } from './limits.ts';
import { listenOnSocket } from './socket-file.ts';
import type { StartContext } from './start-context.ts';

/** Where the callers' identities come from. */
export interface CallersParts {
  readonly host: Host;
  readonly registry: RegistryView;
  readonly ca: SvidAuthority;
  readonly jwtSvids: JwtSvids;
  readonly ledger: Ledger;
  readonly decisionStore: DecisionStore;
  readonly onRefused: (refusal: Refusal) => void;
}

export type Callers = Awaited<ReturnType<typeof openCallers>>;

/** Maximum time for clients to read the last status before their connections are closed, in milliseconds. */
const DRAIN_MS = 2_000;

/** Opens all but the pipe itself, see `listen` of the result. */
export async function openCallers(
  { config, clock, log, parts, meters }: StartContext<HostConfig>,
  { host, registry, ca, jwtSvids, ledger, decisionStore, onRefused }: CallersParts,
) {
  const { counters } = meters;
  const { trustDomain } = config;
  const accounts = createAccounts();
  const identities = parts.own(
    new Identities({
      registry,
      ca,
      clock,
      log,
      bundleFor: config.bundleFor,
      lazyKinds: LAZY_KINDS,
      isKeptIfAsked,
      accountsRevision: () => accounts.revision(),
    }),
  );
  const { unmapped, whyContained, whySeenContained, kernel, plan } = host;
  const onChange = () => identities.factsMayDiffer();
  const attestors = await openAttestors(config, { clock, log, accounts, unmapped, asked: registry, onChange }, parts);
  const decisions = parts.own(await Decisions.open({ store: decisionStore, clock, log, counters, onRefused }));
  const exitWatcher = parts.own(createExitWatcher());
  const { owners, quota, memory, turns } = createLimits(plan, config, counters, log);
  const reservedNames = {
    default: config.sdsDefaultName,
    bundle: config.sdsBundleName,
    allBundles: config.sdsAllBundlesName,
  };
  const streams = {
    ...{ identities, trustDomain, reservedNames, clock, log, counters, ledger, decisions, turns },
    counts: meters.deliveries,
    queue: meters.pushQueue,
    validation: config.disableSpiffeCertValidation ? 'plain' : 'spiffe',
    nobody: new Nobody(() => makeThrowAwayRoot(clock.now())),
  } as const;
  const served = [
    ...secretDiscoveryService(streams),
    ...workloadApi({ ...streams, holdWithoutIdentity: config.workloadApiHold, jwtSvids }),
  ];
  const { methods: standardMethods, health } = standardServices(served);
  const wire = createWire({ methods: [...served, ...standardMethods], clock, log, quota, memory, turns });
  const ownerOf = createOwnerOf(
    owners,
    createSubordinateIds((user) => accounts.uid(user)),
  );
  const pipe = createPipe({
    ...{ attestors, whyContained, whySeenContained, exitWatcher, clock, log, quota, turns, ownerOf },
    times: meters.attestations,
    keeps: (selector) => isKept(selector, registry),
    asked: registry,
    pinByPid: !kernel.pinsPeers,
    onConnection: (socket, peer, reading) => wire.inject(socket, peer, reading),
  });
  return {
    ...{ accounts, identities, attestors, decisions, memory, turns, reservedNames, pipe },
    usage: () => usageOf(quota, owners),
    explain: {
      identities,
      inspect: createInspector({
        ...{ attestors, whyContained, whySeenContained, clock, ownerOf },
        asked: registry,
        attestTimeoutMs: ATTEST_TIMEOUT_MS,
        reach: (pid) => reachOf(pid, config.socket),
      }),
      mainPid: attestors.find(({ mainPid }) => mainPid !== undefined)?.mainPid,
    },
    /** Accepts callers from now on. */
    listen: async () => {
      const { socket: path, socketMode: mode, socketGroup: group } = config;
      parts.own(await listenOnSocket(pipe.server, { path, mode, group }));
      health.setServing(true);
    },
    /** Ends every stream with UNAVAILABLE, and waits until clients have read it. */
    drain: () => {
      health.setServing(false);
      return wire.close(DRAIN_MS);
    },
  };
}
