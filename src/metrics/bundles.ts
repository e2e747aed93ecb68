/** The samples of the bundles. */

import { RELATIONSHIP_STATES } from '../federation/index.ts';
import { bundleEnd } from '../registry/index.ts';
import type { Samples } from './samples.ts';
import { eachInSlices } from './slices.ts';
import type { MetricSources } from './sources.ts';

export async function collectBundles(samples: Samples, sources: MetricSources): Promise<void> {
  const { ca, registry } = sources;
  const own = ca.bundle();
  samples.set('sidekey_bundles', 1, { kind: 'own' });
  samples.set('sidekey_bundle_authorities', own.x509Authorities.length, { kind: 'own' });
  samples.set('sidekey_bundle_sequence_number', own.sequenceNumber);
  collectPublished(samples, sources);
  const roots = ca.authorities().filter(({ role, state }) => role === 'root' && state !== 'prepared');
  if (roots.length > 0) {
    const end = Math.max(...roots.map(({ notAfter }) => notAfter));
    samples.set('sidekey_bundle_soonest_expiry_timestamp_seconds', end / 1_000, { kind: 'own' });
    const changed = Math.max(...roots.map(({ since }) => since));
    samples.set('sidekey_bundle_oldest_update_timestamp_seconds', changed / 1_000, { kind: 'own' });
  }
  collectRelationships(samples, sources.federation);
  const foreign = registry.federatedBundles.list();
  const kind = { kind: 'foreign' };
  samples.set('sidekey_bundles', foreign.length, kind);
  const authorities = foreign.reduce((sum, { x509Authorities }) => sum + x509Authorities.length, 0);
  samples.set('sidekey_bundle_authorities', authorities, kind);
  if (foreign.length === 0) return;
  let soonest = Number.POSITIVE_INFINITY;
  await eachInSlices(foreign, (bundle) => {
    // One that withdraws its trust has no end.
    soonest = Math.min(soonest, bundleEnd(bundle) ?? soonest);
  });
  if (Number.isFinite(soonest)) samples.set('sidekey_bundle_soonest_expiry_timestamp_seconds', soonest / 1_000, kind);
  const oldest = Math.min(...foreign.map(({ updatedAt }) => updatedAt));
  samples.set('sidekey_bundle_oldest_update_timestamp_seconds', oldest / 1_000, kind);
}

function collectRelationships(samples: Samples, federation: MetricSources['federation']): void {
  const states = new Map<(typeof RELATIONSHIP_STATES)[number], number>(RELATIONSHIP_STATES.map((state) => [state, 0]));
  let oldest = Number.POSITIVE_INFINITY;
  let most = 0;
  const views = federation.list();
  for (const { status } of views) {
    states.set(status.state, states.get(status.state)! + 1);
    oldest = Math.min(oldest, status.lastSuccessAt ?? oldest);
    most = Math.max(most, status.failures);
  }
  for (const [state, count] of states) samples.set('sidekey_federation_relationships', count, { state });
  for (const [result, count] of federation.results.entries()) {
    samples.set('sidekey_federation_fetches_total', count, { result });
  }
  if (Number.isFinite(oldest)) samples.set('sidekey_federation_oldest_fetch_timestamp_seconds', oldest / 1_000);
  if (views.length > 0) samples.set('sidekey_federation_most_failures', most);
}

function collectPublished(samples: Samples, { ca, publishing, published }: MetricSources): void {
  const [endpoint, file] = [published()?.endpoint(), published()?.file()];
  if (endpoint !== undefined || file !== undefined) {
    samples.set('sidekey_published_bundle_sequence_number', ca.bundle().documentNumber);
  }
  if (endpoint !== undefined) {
    for (const [result, count] of publishing.requests.entries()) {
      samples.set('sidekey_bundle_endpoint_requests_total', count, { result });
    }
    const { notAfter, problem } = endpoint.certificate;
    samples.set('sidekey_bundle_endpoint_certificate_problem', Number(problem !== undefined));
    if (notAfter !== undefined) {
      samples.set('sidekey_bundle_endpoint_certificate_expiry_timestamp_seconds', notAfter / 1_000);
    }
  }
  if (file !== undefined) {
    for (const [result, count] of publishing.writes.entries()) {
      samples.set('sidekey_published_file_writes_total', count, { result });
    }
    samples.set('sidekey_published_file_problem', Number(file.problem !== undefined));
  }
}
