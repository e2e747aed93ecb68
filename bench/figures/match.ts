/** Which of 100,000 entries one caller matches. */

import { MatchIndex } from '../../src/registry/match.ts';
import type { Entry } from '../../src/registry/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const ENTRIES = 100_000;
const TIMES = 2_000;
const NOW = Date.UTC(2026, 0, 1);

export async function match(_cleanup: Cleanup): Promise<Figure[]> {
  const index = new MatchIndex();
  for (let i = 0; i < ENTRIES; i += 1) index.put(entry(i));
  const sample: number[] = [];
  for (let time = 0; time < 2 * TIMES; time += 1) {
    const i = (time * 7_919) % ENTRIES;
    const selectors = new Set([
      ...selectorsOf(i),
      ...['gid:1000', 'user:app', 'group:app', 'supplementary_gid:27', 'sha256:00'].map((value) => `unix:${value}`),
    ]);
    const begun = performance.now();
    const found = index.match(selectors, NOW);
    // The first half warms up.
    if (time >= TIMES) sample.push(performance.now() - begun);
    if (found.length !== 1) throw new Error(`${found.length} entries match`);
  }
  return [
    {
      name: 'match',
      value:
        Math.round(
          percentile(
            sample.map((ms) => ms * 1_000),
            0.5,
          ),
        ) / 1_000,
      unit: 'ms',
      compared_with: { reach: 0.2, p99: percentile(sample, 0.99) },
      how: `p50 of ${TIMES} callers with 8 selectors against ${ENTRIES} entries with 2: 10 uids, each entry with its own path`,
    },
  ];
}

function selectorsOf(i: number): string[] {
  return [`unix:uid:${i % 10}`, `unix:path:/srv/app-${i}/bin`];
}

function entry(i: number): Entry {
  const selectors = selectorsOf(i).map((key) => ({ type: 'unix', value: key.slice('unix:'.length) }));
  return {
    ...{ id: `entry-${i}`, spiffeId: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/bench/${i}`), selectors, parentId: '' },
    ...{ x509SvidTtl: 0, x509SvidKeyType: '', jwtSvidTtl: 0, dnsNames: [], federatesWith: [], hint: '' },
    ...{ allowContained: false, expiresAt: 0 },
    ...{ createdAt: NOW, updatedAt: NOW, revisionNumber: 1, source: 'api' },
  };
}
