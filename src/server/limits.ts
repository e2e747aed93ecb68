/** The limits for callers: those of the settings, reduced to what the host allows. */

import type { SelfKnowledge } from '../admin/index.ts';
import type { DescriptorPlan } from '../base/index.ts';
import type { HostConfig } from '../config/index.ts';
import { FIXED_LIMITS, MemoryBudget, memoryLimits, Owners, Quota, Turns } from '../limits/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';

export function createLimits(plan: DescriptorPlan, config: HostConfig, counters: Counters, log: Log) {
  const owners = new Owners();
  const quota = new Quota(
    {
      ...FIXED_LIMITS,
      connectionsPerUid: plan.pipeConnectionsPerUid,
      connections: plan.pipeConnections,
      callsPerUid: config.maxStreamsPerUid,
      requestsPerSecondPerUid: config.maxRequestsPerSecondPerUid,
    },
    counters,
  );
  const memory = new MemoryBudget(memoryLimits(), owners, counters);
  const turns = new Turns((err) => log.error({ err }, "a caller's task threw an error"));
  return { owners, quota, memory, turns };
}

/** For doctor: the owner closest to each limit. */
export function usageOf(quota: Quota, owners: Owners): ReturnType<SelfKnowledge['usage']> {
  const { connections, calls } = quota.nearest(owners.accounts());
  const uses = { '--max-connections-per-uid': connections, '--max-streams-per-uid': calls };
  return Object.entries(uses).flatMap(([setting, use]) => (use === undefined ? [] : [{ setting, ...use }]));
}
