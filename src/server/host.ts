/** Examines the kernel and the host. */

import {
  checkProc,
  createWhyContained,
  type Kernel,
  nobodyContained,
  probeKernel,
  runningWith,
  type WhyContained,
} from '../attest/index.ts';
import {
  ADMIN_LISTENERS,
  type DescriptorPlan,
  descriptorLimit,
  planDescriptors,
  readUnmappedIds,
  SidekeyError,
  type UnmappedIds,
} from '../base/index.ts';
import type { HostConfig, ServeConfig } from '../config/index.ts';
import type { Log } from '../telemetry/index.ts';

/** Functions and limits of the kernel and the host, for attestation and connections. */
export interface Host {
  readonly kernel: Kernel;
  readonly unmapped: UnmappedIds;
  readonly whyContained: WhyContained;
  /** What attestors are told instead; undefined: the same. */
  readonly whySeenContained: WhyContained | undefined;
  readonly plan: DescriptorPlan;
}

/** What else of the process needs descriptors. */
export interface OtherListeners {
  /** Of admins on TCP, consumers of bundles and keys. */
  readonly listeners: number;
  readonly forAgents: boolean;
}

/** Those of a server. */
export function otherListenersOf({ oidcListen, federationListen, agentListen }: ServeConfig): OtherListeners {
  const listeners = [oidcListen, federationListen].filter((listen) => listen !== undefined).length;
  return { listeners, forAgents: agentListen !== undefined };
}

/** Examines the host and logs missing features. @throws ERR_PROC, ERR_KERNEL if attestation is impossible without one */
export function lookAtHost(config: HostConfig, others: OtherListeners, log: Log): Host {
  checkProc();
  const seen = createWhyContained();
  const [whyContained, whySeenContained] = config.allowContained ? [nobodyContained, seen] : [seen, undefined];
  const kernel = probeKernel();
  checkPinning(kernel, config, log);
  const wanted = {
    adminConnections: config.adminMaxConnections,
    pipeConnectionsPerUid: config.maxConnectionsPerUid,
  };
  const listeners = ADMIN_LISTENERS + others.listeners;
  const plan = planDescriptors(descriptorLimit(), wanted, listeners, others.forAgents);
  warnOfDescriptors(plan, config, log);
  return { kernel, unmapped: readUnmappedIds(), whyContained, whySeenContained, plan };
}

function warnOfDescriptors(plan: DescriptorPlan, config: HostConfig, log: Log): void {
  const { adminConnections, pipeConnectionsPerUid } = plan;
  if (adminConnections === config.adminMaxConnections && pipeConnectionsPerUid === config.maxConnectionsPerUid) return;
  log.warn(
    { descriptors: descriptorLimit(), ...plan },
    'too few file descriptors (RLIMIT_NOFILE, ulimit -n) for the configured number of connections: fewer are allowed',
  );
}

/** @throws ERR_KERNEL if a process could be mistaken for another one and no setting accepts that */
function checkPinning({ pinsPeers, noPidfdOpen }: Kernel, config: HostConfig, log: Log): void {
  if (noPidfdOpen !== undefined) {
    const saysContainers = runningWith(config).some(({ container }) => container !== undefined);
    const containers = saysContainers ? ', and no caller in a container is attested' : '';
    log.warn({ reason: noPidfdOpen }, `sidekey explain --pid does not work here${containers}`);
  }
  if (pinsPeers) return;
  const hole =
    'if a process ends right after it connected, another process of the same user may get its pid, and the holder of the connection then gets the identities of that process';
  if (config.allowUnpinnedPeers) {
    log.warn({ setting: 'allowUnpinnedPeers' }, `this kernel has no SO_PEERPIDFD (Linux has it since 6.5): ${hole}`);
    return;
  }
  throw new SidekeyError(
    'ERR_KERNEL',
    `getsockopt(SO_PEERPIDFD) fails; Linux has it since 6.5. Without it, ${hole}. Use a newer kernel, or accept the risk with --allow-unpinned-peers`,
  );
}
