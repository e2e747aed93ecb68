/** Warnings for entries that are accepted but probably a mistake. */

import { redactSelector } from '../attest/index.ts';
import { API_SOURCE, declaredPlace, FILE_SOURCE, formatDuration, type Problem } from '../base/index.ts';
import { EVERY_DOMAIN, isNegated, isTemplate, opposite, parseTemplate, type Selector } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { isExpired } from './entry.ts';
import type { FederatedBundles } from './federated-bundles.ts';
import type { Entry, EntryInput } from './types.ts';

export interface EntryWarningParts {
  /** Why no caller on this server can have the selector, beside the others of its entry; undefined if one may. */
  readonly whyNever: (selector: Selector, beside: readonly Selector[]) => string | undefined;
  /** Why the placeholder of this name has a value for no caller on this server; undefined if it may have one. */
  readonly whyNoPlaceholder: (name: string) => string | undefined;
  /** The longest SVID TTL that is always honoured in full, in seconds. */
  readonly longestSvidTtl: number;
  /** The same of JWT-SVIDs. */
  readonly longestJwtTtl: number;
  readonly federatedBundles: Pick<FederatedBundles, 'get'>;
  /** Only of entries for workloads of this host it is known which selectors these can have. */
  readonly isLocal: (entry: Pick<EntryInput, 'parentId'>) => boolean;
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
/** The minimum of `--x509-svid-ttl` and `--jwt-svid-ttl`, in seconds. */
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
  if (parts.isLocal(entry)) yield* selectorWarnings(entry, parts);
  yield* ttlWarnings(entry, parts);
  for (const domain of entry.federatesWith) {
    if (domain === EVERY_DOMAIN || parts.federatedBundles.get(domain) !== undefined) continue;
    const rule = `callers get it as soon as it is set: sidekey bundle set ${domain} --file FILE, or fetched: sidekey federation create ${domain}`;
    yield { path: '/federates_with', problem: `no bundle of ${domain} is set`, rule };
  }
  if (isExpired(entry, parts.now())) {
    const problem = `it is ${new Date(entry.expiresAt).toISOString()}, which is in the past`;
    yield { path: '/expires_at', problem, rule: 'the entry is stored, but has no effect; give a later time, or never' };
  }
}

function* selectorWarnings(entry: EntryInput, parts: EntryWarningParts): Iterable<Problem> {
  for (const selector of entry.selectors) {
    const why = parts.whyNever(selector, entry.selectors);
    if (why === undefined) continue;
    const rule = 'the entry is kept, but no caller matches it until this changes';
    const problem = isNegated(selector)
      ? `of no caller it is known that ${redactSelector(opposite(selector))} is not among its facts: ${why}`
      : `no caller has ${redactSelector(selector)}: ${why}`;
    yield { path: '/selectors', problem, rule };
  }
  yield* templateWarnings(entry, parts);
}

function* templateWarnings({ spiffeId }: EntryInput, { whyNoPlaceholder }: EntryWarningParts): Iterable<Problem> {
  if (!isTemplate(spiffeId)) return;
  for (const name of parseTemplate(spiffeId).placeholders) {
    const why = whyNoPlaceholder(name);
    if (why === undefined) continue;
    const rule = 'the entry is kept, but its template is rendered for no caller until this changes';
    yield { path: '/spiffe_id', problem: `{${name}} has a value for no caller: ${why}`, rule };
  }
}

function* ttlWarnings({ x509SvidTtl, jwtSvidTtl }: EntryInput, parts: EntryWarningParts): Iterable<Problem> {
  yield* ttlProblems({
    path: '/x509_svid_ttl',
    ttl: x509SvidTtl,
    longest: parts.longestSvidTtl,
    whyShorter: 'SVIDs end with the intermediate that signs them',
    share: 'half of --ca-ttl',
    whyLonger: `an SVID is renewed at half its life; below ${SHORTEST_SVID_TTL}s one may end before the proxy has the next`,
  });
  yield* ttlProblems({
    path: '/jwt_svid_ttl',
    ttl: jwtSvidTtl,
    longest: parts.longestJwtTtl,
    whyShorter: 'JWT-SVIDs end with the key that signs them',
    share: 'a third of --jwt-key-ttl',
    whyLonger: `a JWT-SVID must reach its audience before it ends; below ${SHORTEST_SVID_TTL}s it may not`,
  });
}

interface TtlRules {
  readonly path: string;
  /** Seconds; 0: the default. */
  readonly ttl: number;
  readonly longest: number;
  readonly whyShorter: string;
  readonly share: string;
  readonly whyLonger: string;
}

function* ttlProblems({ path, ttl, longest, whyShorter, share, whyLonger }: TtlRules): Iterable<Problem> {
  if (ttl > longest) {
    yield {
      path,
      problem: `${formatDuration(ttl)} is more than can always be honoured`,
      rule: `${whyShorter}, so some will be shorter; TTLs up to ${formatDuration(longest)}, ${share}, are always honoured in full`,
    };
  }
  if (ttl > 0 && ttl < SHORTEST_SVID_TTL) {
    yield { path, problem: `${formatDuration(ttl)} is very short`, rule: whyLonger };
  }
}

/** The warning for an entry whose program this machine does not have. @param of names the entry, if the path does not */
export function programWarning(file: string, of = ''): Problem {
  return {
    path: of === '' ? '/selectors' : '',
    problem: `no caller has unix:path:${file}${of}: this machine has no such file`,
    rule: 'the entry is kept, and callers match it when they run a program with this path',
  };
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
