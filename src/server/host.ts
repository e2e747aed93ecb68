/** What the kernel and the machine give for attestation and connections. */

import { runningWith } from '../attest/catalog.ts';
import { createWhyContained, nobodyContained, type WhyContained } from '../attest/contained.ts';
import { type Kernel, probeKernel } from '../attest/kernel.ts';
import { checkProc } from '../attest/proc/self.ts';
import { SidekeyError } from '../base/errors.ts';
import { type DescriptorPlan, descriptorLimit, planDescriptors } from '../base/resources.ts';
import { readUnmappedIds, type UnmappedIds } from '../base/unmapped-ids.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import type { Log } from '../telemetry/log.ts';

/** The kernel's and the machine's means for attestation and connections. */
export interface Host {
  readonly kernel: Kernel;
  readonly unmapped: UnmappedIds;
  readonly whyContained: WhyContained;
  readonly plan: DescriptorPlan;
}

/** Warns of what the machine lacks. @throws ERR_PROC, ERR_KERNEL where attestation can't do without it */
export function lookAtHost(config: ServeConfig, log: Log): Host {
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

function warnOfDescriptors(plan: DescriptorPlan, config: ServeConfig, log: Log): void {
  const { adminConnections, pipeConnectionsPerUid } = plan;
  if (adminConnections === config.adminMaxConnections && pipeConnectionsPerUid === config.maxConnectionsPerUid) return;
  log.warn(
    { descriptors: descriptorLimit(), ...plan },
    'few descriptors (RLIMIT_NOFILE, ulimit -n): fewer connections are allowed than the settings say',
  );
}

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
