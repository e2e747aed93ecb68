/** The samples of the bundles. */

import { X509Certificate } from 'node:crypto';
import type { FederatedBundle } from '../registry/index.ts';
import type { Samples } from './samples.ts';
import { eachInSlices } from './slices.ts';
import type { MetricSources } from './sources.ts';

/** When each bundle ends, in milliseconds since the epoch. A bundle is immutable, and to read its certificates takes time. */
const ends = new WeakMap<FederatedBundle, number>();

export async function collectBundles(samples: Samples, { ca, registry }: MetricSources): Promise<void> {
  const own = ca.bundle();
  samples.set('sidekey_bundles', 1, { kind: 'own' });
  samples.set('sidekey_bundle_authorities', own.x509Authorities.length, { kind: 'own' });
  samples.set('sidekey_bundle_sequence_number', own.sequenceNumber);
  const roots = ca.authorities().filter(({ role, state }) => role === 'root' && state !== 'prepared');
  if (roots.length > 0) {
    const end = Math.max(...roots.map(({ notAfter }) => notAfter));
    samples.set('sidekey_bundle_soonest_expiry_timestamp_seconds', end / 1_000, { kind: 'own' });
    const changed = Math.max(...roots.map(({ since }) => since));
    samples.set('sidekey_bundle_oldest_update_timestamp_seconds', changed / 1_000, { kind: 'own' });
  }
  const foreign = registry.federatedBundles.list();
  const kind = { kind: 'foreign' };
  samples.set('sidekey_bundles', foreign.length, kind);
  const authorities = foreign.reduce((sum, { x509Authorities }) => sum + x509Authorities.length, 0);
  samples.set('sidekey_bundle_authorities', authorities, kind);
  if (foreign.length === 0) return;
  let soonest = Number.POSITIVE_INFINITY;
  await eachInSlices(foreign, (bundle) => {
    soonest = Math.min(soonest, endOf(bundle));
  });
  samples.set('sidekey_bundle_soonest_expiry_timestamp_seconds', soonest / 1_000, kind);
  const oldest = Math.min(...foreign.map(({ updatedAt }) => updatedAt));
  samples.set('sidekey_bundle_oldest_update_timestamp_seconds', oldest / 1_000, kind);
}

function endOf(bundle: FederatedBundle): number {
  let end = ends.get(bundle);
  if (end === undefined) {
    end = Math.max(...bundle.x509Authorities.map((der) => new X509Certificate(der).validToDate.getTime()));
    ends.set(bundle, end);
  }
  return end;
}
