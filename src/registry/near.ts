/** Near misses: entries that a caller almost matches, nearest first, and what it has instead of what it lacks. */

import { NAMED_KINDS } from '../attest/selector-kinds.ts';
import { differInOnePlace } from '../base/nearest.ts';
import { formatSelector, splitSelector } from '../spiffe/selector.ts';
import { compareAge } from './entry.ts';
import type { Entry, Lack, NearMiss } from './types.ts';

/** An entry with its selectors as `type:value`. */
export interface Keyed {
  readonly entry: Entry;
  readonly keys: readonly string[];
}

interface Ranked extends Keyed {
  readonly missing: readonly string[];
  /** How many of the missing ones are nearly the same as something that the caller has. */
  readonly alike: number;
}

/**
 * The `limit` entries that lack the fewest selectors; of those, first the ones that look mistyped, then the ones of
 * which the caller has most, then the oldest. One pass, which keeps no more than it gives.
 */
export function nearest(entries: Iterable<Keyed>, selectors: ReadonlySet<string>, limit: number): NearMiss[] {
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

/** What the caller has of one kind. */
interface Kind {
  /** What all of them begin with: `unix:uid:`. */
  readonly prefix: string;
  readonly keys: string[];
}
type Kinds = ReadonlyMap<string, Kind>;

/** Of one kind no more are looked at: a container may have thousands of networks. */
const OF_KIND = 200;
/** Of one kind no more are told. */
const TOLD_OF_KIND = 20;
/** With more kinds than these it is faster to make a text of each key's prefix: a container may have thousands of labels. */
const FEW_KINDS = 32;

function byKind(selectors: ReadonlySet<string>): Kinds {
  const kinds = new Map<string, Kind>();
  for (const key of selectors) {
    const prefix = prefixOf(key);
    const kind = kinds.get(prefix);
    if (kind === undefined) kinds.set(prefix, { prefix, keys: [key] });
    else if (kind.keys.length < OF_KIND) kind.keys.push(key);
  }
  return kinds;
}

/** What can stand in place of another begins so: `unix:uid:`, and of labels and variables those with the same name. */
function prefixOf(key: string): string {
  for (const { prefix, end } of NAMED_KINDS) {
    if (key.startsWith(prefix)) return key.slice(0, key.indexOf(end, prefix.length) + 1);
  }
  return key.slice(0, key.indexOf(':', key.indexOf(':') + 1) + 1);
}

/** Few prefixes are compared one by one, which takes no new text for each of ten thousand entries. */
function kindFor(key: string, kinds: Kinds): Kind | undefined {
  if (kinds.size > FEW_KINDS) return kinds.get(prefixOf(key));
  for (const kind of kinds.values()) if (key.startsWith(kind.prefix)) return kind;
  return undefined;
}

function alikeOf(key: string, kind: Kind | undefined): string | undefined {
  if (kind === undefined) return undefined;
  for (const other of kind.keys) if (differInOnePlace(key, other, kind.prefix.length)) return other;
  return undefined;
}

function lackOf(key: string, kinds: Kinds): Lack {
  const kind = kindFor(key, kinds);
  const alike = alikeOf(key, kind);
  return {
    selector: splitSelector(key)!,
    has: (kind?.keys ?? []).slice(0, TOLD_OF_KIND).map((other) => splitSelector(other)!),
    alike: alike === undefined ? undefined : splitSelector(alike)!,
  };
}

/** An entry with its keys, where nobody has them yet. */
export function keyed(entry: Entry): Keyed {
  return { entry, keys: entry.selectors.map(formatSelector) };
}
