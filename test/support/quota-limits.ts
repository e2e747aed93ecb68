/** Limits of a quota for tests: those of a server with default settings on a host with enough descriptors. */

import { FIXED_LIMITS, type QuotaLimits } from '../../src/limits/quota.ts';

export const QUOTA_LIMITS: QuotaLimits = {
  ...FIXED_LIMITS,
  connectionsPerUid: 2_000,
  connections: 16_000,
  callsPerUid: 20_000,
  requestsPerSecondPerUid: 20_000,
};
