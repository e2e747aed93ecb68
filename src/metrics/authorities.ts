/** The samples of the authorities and their rotation. */

import type { AuthorityInfo } from '../ca/index.ts';
import type { Samples } from './samples.ts';
import type { MetricSources } from './sources.ts';

/** Does not look for the proxies that a rotation waits for, since that takes a look at every stream. */
export function collectAuthorities(samples: Samples, { ca, rotations, taints }: MetricSources): void {
  const authorities = ca.authorities();
  for (const same of Map.groupBy(authorities, ({ role, state }) => `${role} ${state}`).values()) {
    const { role, state } = same[0]!;
    const first = same.reduce((one, other) => (other.notAfter < one.notAfter ? other : one));
    const labels = { role, state };
    samples.set('sidekey_authorities', same.length, labels);
    samples.set('sidekey_authority_expiry_timestamp_seconds', first.notAfter / 1_000, labels);
    samples.set('sidekey_authority_lifetime_seconds', (first.notAfter - first.notBefore) / 1_000, labels);
  }
  for (const [role, count] of rotations.entries()) samples.set('sidekey_rotations_total', count, { role });
  for (const [role, count] of taints.entries()) samples.set('sidekey_authorities_tainted_total', count, { role });
  collectRotation(samples, authorities);
  const upstream = ca.upstream();
  if (upstream !== undefined) samples.set('sidekey_upstream_problem', Number(upstream.problem !== undefined));
}

function collectRotation(samples: Samples, authorities: readonly AuthorityInfo[]): void {
  // The next JWT key is always published, and waits for nothing but time.
  const next = authorities.find(({ role, signsAfter }) => role === 'root' && signsAfter !== undefined);
  samples.set('sidekey_rotation_in_progress', Number(next !== undefined));
  if (next === undefined) return;
  samples.set('sidekey_rotation_start_timestamp_seconds', next.since / 1_000);
  samples.set('sidekey_rotation_due_timestamp_seconds', next.signsAfter! / 1_000);
}
