/** How many supplementary groups a caller may have. */

import { SidekeyError } from '../base/errors.ts';

/**
 * Each makes one or two selectors. The kernel allows 65,536, for which reading and sorting them would hold the event loop
 * for long. Beyond this the attestation fails: facts are never cut short, since a caller of whom some are
 * known would pass for one that lacks the others.
 */
export const MAX_GROUPS = 1_024;

/** @throws ERR_ATTESTATION_FAILED where it is more than {@link MAX_GROUPS} */
export function checkGroupCount(pid: number, count: number): void {
  if (count <= MAX_GROUPS) return;
  const message = `process ${pid} has ${count} supplementary groups, and callers may have ${MAX_GROUPS} at most`;
  throw new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
