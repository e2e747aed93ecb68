/** Warnings for entries that are accepted but probably a mistake. */

import { redactSelector } from '../attest/index.ts';
import { API_SOURCE, declaredPlace, FILE_SOURCE, formatDuration, type Problem } from '../base/index.ts';
import type { Selector } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { isExpired } from './entry.ts';
import type { FederatedBundles } from './federated-bundles.ts';
import type { Entry, EntryInput } from './types.ts';

export interface EntryWarningParts {
  /** Why no caller on this server can have the selector; undefined if one may. */
  readonly whyNever: (selector: Selector) => string | undefined;
  /** The longest SVID TTL that is always honoured in full, in seconds. */
  readonly longestSvidTtl: number;
  readonly federatedBundles: Pick<FederatedBundles, 'get'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** A warning and the index of its entry in the input. */
export interface EntryWarning {
  readonly index: number;
  /** Its path is relative to the entry: `/x509_svid_ttl`. */
  readonly warning: Problem;
}

export type WarningsOf = (entries: readonly EntryInput[]) => EntryWarning[];

/** Maximum number of warnings per write, so that an answer is not much larger than its request. */
export const MOST_WARNINGS = 100;
/** The minimum of `--x509-svid-ttl`, in seconds. */
const SHORTEST_SVID_TTL = 10;

export function createWarningsOf(parts: EntryWarningParts): WarningsOf {
  return (entries) => {
    const warnings: EntryWarning[] = [];
    for (const [index, entry] of entries.entries()) {
      for (const warning of warningsOfEntry(entry, parts)) {
        if (warnings.length === MOST_WARNINGS) return [...warnings, { index, warning: MORE }];
        warnings.push({ index, warning });
      }
    }
    return warnings;
  };
}

const MORE: Problem = {
  path: '',
  problem: `there are more than ${MOST_WARNINGS} warnings`,
  rule: 'this entry and the entries after it have some too, which are not listed',
};

/** Logs warnings with the ids of their entries. @param stored returns the stored entry at an index of the input */
export function logEntryWarnings(
  log: Log,
  warnings: readonly EntryWarning[],
  stored: (index: number) => Entry | undefined,
): void {
  for (const { index, warning } of warnings) {
    const entry = stored(index);
    log.warn({ entry_id: entry?.id, spiffe_id: entry?.spiffeId, ...warning }, 'an entry is probably a mistake');
  }
}

function* warningsOfEntry(entry: EntryInput, parts: EntryWarningParts): Iterable<Problem> {
  for (const selector of entry.selectors) {
    const why = parts.whyNever(selector);
    if (why === undefined) continue;
    const rule = 'the entry is kept, but no caller matches it until this changes';
    yield { path: '/selectors', problem: `no caller has ${redactSelector(selector)}: ${why}`, rule };
  }
  yield* ttlWarnings(entry, parts.longestSvidTtl);
  for (const domain of entry.federatesWith) {
    if (parts.federatedBundles.get(domain) !== undefined) continue;
    const rule = `callers get it as soon as it is set: sidekey bundle set ${domain} --file FILE`;
    yield { path: '/federates_with', problem: `no bundle of ${domain} is set`, rule };
  }
  if (isExpired(entry, parts.now())) {
    const problem = `it is ${new Date(entry.expiresAt).toISOString()}, which is in the past`;
    yield { path: '/expires_at', problem, rule: 'the entry is stored, but has no effect; give a later time, or never' };
  }
}

function* ttlWarnings({ x509SvidTtl, jwtSvidTtl }: EntryInput, longest: number): Iterable<Problem> {
  const path = '/x509_svid_ttl';
  if (x509SvidTtl > longest) {
    yield {
      path,
      problem: `${formatDuration(x509SvidTtl)} is more than can always be honoured`,
      rule: `SVIDs end with the intermediate that signs them, so some will be shorter; TTLs up to ${formatDuration(longest)}, half of --ca-ttl, are always honoured in full`,
    };
  }
  if (x509SvidTtl > 0 && x509SvidTtl < SHORTEST_SVID_TTL) {
    yield {
      path,
      problem: `${formatDuration(x509SvidTtl)} is very short`,
      rule: `an SVID is renewed at half its life; below ${SHORTEST_SVID_TTL}s one may end before the proxy has the next`,
    };
  }
  if (jwtSvidTtl > 0) {
    yield {
      path: '/jwt_svid_ttl',
      problem: 'it has no effect yet',
      rule: 'Sidekey issues no JWT-SVIDs; the value is kept',
    };
  }
}

/**
 * The warning for changing an entry that a file or other source declares, since that source undoes the change;
 * undefined for other entries.
 */
export function declaredWarning(
  { id, source }: Pick<Entry, 'id' | 'source'>,
  at: { readonly file?: string | undefined; readonly line?: number | undefined } = {},
): Problem | undefined {
  if (source === API_SOURCE) return undefined;
  const [what, when] =
    source === FILE_SOURCE
      ? ["the server's entries file (--entries)", 'next start or reload']
      : [`the source ${source}`, 'next PUT of that source'];
  return {
    path: '',
    problem: `entry ${id} is declared by ${what}, which will undo the change`,
    rule: `the ${when} restores the declared entry; change it ${declaredPlace({ ...at, source })}`,
  };
}
