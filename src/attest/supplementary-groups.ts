/** The limit on a caller's supplementary groups. */

import { SidekeyError } from '../base/index.ts';

/**
 * Each group gives one or two selectors. The kernel allows 65,536 groups; reading and sorting that many would block the
 * event loop. Beyond the limit the attestation fails. The list is not truncated, because then a caller would appear to
 * lack the groups that were left out.
 */
export const MAX_GROUPS = 1_024;

/** @throws ERR_ATTESTATION_FAILED if there are more than {@link MAX_GROUPS} */
export function checkGroupCount(pid: number, count: number): void {
  if (count <= MAX_GROUPS) return;
  const message = `process ${pid} has ${count} supplementary groups; the limit is ${MAX_GROUPS}`;
  throw new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
