/** Near misses: entries that a caller almost matches, nearest first, with the caller's selectors of the same kind. */

import { NAMED_KINDS } from '../attest/index.ts';
import { differInOnePlace } from '../base/index.ts';
import { formatSelector, isNegated, opposite, splitSelector } from '../spiffe/index.ts';
import { compareAge } from './entry.ts';
import type { Entry, Lack, NearMiss } from './types.ts';

/** An entry with its selectors as `type:value`. */
export interface Keyed {
  readonly entry: Entry;
  readonly keys: readonly string[];
}

interface Ranked extends Keyed {
  readonly missing: readonly string[];
  /** Number of missing selectors that are similar to one of the caller's. */
  readonly alike: number;
}

/**
 * The `limit` entries that lack the fewest selectors. Ties: first the ones that look misspelt, then those with the most
 * matching selectors, then the oldest. One pass that keeps at most `limit` entries.
 */
export function nearestEntries(entries: Iterable<Keyed>, selectors: ReadonlySet<string>, limit: number): NearMiss[] {
  const kinds = byKind(selectors);
  const best: Ranked[] = [];
  for (const { entry, keys } of entries) {
    const worst = best.length === limit ? best.at(-1)! : undefined;
    let lacking = 0;
    for (const key of keys) if (!selectors.has(key)) lacking += 1;
    if (worst !== undefined && lacking > worst.missing.length) continue;
    const missing: string[] = [];
    let alike = 0;
    for (const key of keys) {
      if (selectors.has(key)) continue;
      missing.push(key);
      if (alikeOf(key, kindFor(key, kinds)) !== undefined) alike += 1;
    }
    const ranked = { entry, keys, missing, alike };
    if (worst !== undefined && compareRank(ranked, worst) >= 0) continue;
    insert(best, ranked);
    if (best.length > limit) best.pop();
  }
  return best.map(({ entry, missing }) => ({ entry, lacks: missing.map((key) => lackOf(key, kinds)) }));
}

function compareRank(a: Ranked, b: Ranked): number {
  return (
    a.missing.length - b.missing.length ||
    b.alike - a.alike ||
    b.keys.length - a.keys.length ||
    compareAge(a.entry, b.entry)
  );
}

function insert(best: Ranked[], ranked: Ranked): void {
  let at = best.length;
  while (at > 0 && compareRank(ranked, best[at - 1]!) < 0) at -= 1;
  best.splice(at, 0, ranked);
}

/** The caller's selectors of one kind. */
interface KeyKind {
  /** Their common prefix: `unix:uid:`. */
  readonly prefix: string;
  readonly keys: string[];
}
type KeyKinds = ReadonlyMap<string, KeyKind>;

/** Maximum number of selectors of one kind that are compared: a container may have thousands of networks. */
const OF_KIND = 200;
/** Maximum number of selectors of one kind in the result. */
const TOLD_OF_KIND = 20;
/** With more kinds than this, a map lookup by prefix is faster: a container may have thousands of labels. */
const FEW_KINDS = 32;

function byKind(selectors: ReadonlySet<string>): KeyKinds {
  const kinds = new Map<string, KeyKind>();
  for (const key of selectors) {
    // A negative selector that the caller satisfies is like no other.
    if (key.startsWith('!')) continue;
    const prefix = prefixOf(key);
    const kind = kinds.get(prefix);
    if (kind === undefined) kinds.set(prefix, { prefix, keys: [key] });
    else if (kind.keys.length < OF_KIND) kind.keys.push(key);
  }
  return kinds;
}

/** The prefix of selectors that could replace this one: `unix:uid:`; for labels and variables with their name. */
function prefixOf(key: string): string {
  for (const { prefix, end } of NAMED_KINDS) {
    if (key.startsWith(prefix)) return key.slice(0, key.indexOf(end, prefix.length) + 1);
  }
  return key.slice(0, key.indexOf(':', key.indexOf(':') + 1) + 1);
}

/** Compares a few prefixes one by one, which allocates no string for each of ten thousand entries. */
function kindFor(key: string, kinds: KeyKinds): KeyKind | undefined {
  if (kinds.size > FEW_KINDS) return kinds.get(prefixOf(key));
  for (const kind of kinds.values()) if (key.startsWith(kind.prefix)) return kind;
  return undefined;
}

function alikeOf(key: string, kind: KeyKind | undefined): string | undefined {
  if (kind === undefined) return undefined;
  for (const other of kind.keys) if (differInOnePlace(key, other, kind.prefix.length)) return other;
  return undefined;
}

function lackOf(key: string, kinds: KeyKinds): Lack {
  const selector = splitSelector(key)!;
  if (isNegated(selector)) {
    const excluded = formatSelector(opposite(selector));
    const has = kindFor(excluded, kinds)?.keys.includes(excluded) === true ? [opposite(selector)] : [];
    return { selector, has, alike: undefined };
  }
  const kind = kindFor(key, kinds);
  const alike = alikeOf(key, kind);
  return {
    selector,
    has: (kind?.keys ?? []).slice(0, TOLD_OF_KIND).map((other) => splitSelector(other)!),
    alike: alike === undefined ? undefined : splitSelector(alike)!,
  };
}

/** An entry with its keys, for entries that are not in the index. */
export function keyed(entry: Entry): Keyed {
  return { entry, keys: entry.selectors.map(formatSelector) };
}
