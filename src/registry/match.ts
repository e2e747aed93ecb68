/**
 * The index that finds the entries that match a caller's selectors. In memory; contains only live entries, as the
 * registry removes expired ones.
 *
 * Each entry is filed under one of its selectors: the one with the fewest entries at that time. A match reads only the
 * entries filed under the caller's own selectors. So 100,000 entries that share `unix:uid:1000` and differ in
 * `unix:path` cost a caller no more than a few.
 */

import { NAMED_KINDS } from '../attest/index.ts';
import { formatSelector, type Selector } from '../spiffe/index.ts';
import { compareAge, isExpired } from './entry.ts';
import type { Keyed } from './near.ts';
import type { Entry } from './types.ts';

interface Filed extends Keyed {
  /** The selector that it is filed under. */
  readonly under: string;
}

export class MatchIndex {
  readonly #byId = new Map<string, Filed>();
  /** A file of one entry is stored without a set: most selectors that entries are filed under have one. */
  readonly #files = new Map<string, Filed | Set<Filed>>();
  /** Number of entries per selector. */
  readonly #askers = new Map<string, number>();
  #askedRevision = 0;
  /** Number of selectors per kind, such as `unix:sha256`; for labels and variables also per name. */
  readonly #kinds = new Map<string, number>();

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /**
   * True if some entry has a selector of this kind. A kind is a type with the first part of the value (`unix:sha256`);
   * for labels and variables the name may follow: `docker:label:app`.
   */
  asksFor(kind: string): boolean {
    return this.#kinds.has(kind);
  }

  /** Number of entries that have this selector, `type:value`. */
  askers(selector: string): number {
    return this.#askers.get(selector) ?? 0;
  }

  /** Increases when a selector is used by its first entry, or no entry any more. */
  get askedRevision(): number {
    return this.#askedRevision;
  }

  /** Every live entry. */
  filed(): Iterable<Keyed> {
    return this.#byId.values();
  }

  /** Adds the entry; replaces one with the same id. */
  put(entry: Entry): void {
    this.delete(entry.id);
    const keys = entry.selectors.map(formatSelector);
    for (const key of keys) {
      this.#count(key, 1);
      for (const kind of kindsOf(key)) add(this.#kinds, kind, 1);
    }
    const under = keys.reduce((rarest, key) => (this.#askers.get(key)! < this.#askers.get(rarest)! ? key : rarest));
    const filed = { entry, keys, under };
    const file = this.#files.get(under);
    if (file === undefined) this.#files.set(under, filed);
    else if (file instanceof Set) file.add(filed);
    else this.#files.set(under, new Set([file, filed]));
    this.#byId.set(entry.id, filed);
  }

  delete(id: string): void {
    const filed = this.#byId.get(id);
    if (filed === undefined) return;
    this.#byId.delete(id);
    for (const key of filed.keys) {
      this.#count(key, -1);
      for (const kind of kindsOf(key)) add(this.#kinds, kind, -1);
    }
    const file = this.#files.get(filed.under)!;
    if (file instanceof Set) file.delete(filed);
    if (file === filed || (file as Set<Filed>).size === 0) this.#files.delete(filed.under);
  }

  #count(key: string, change: 1 | -1): void {
    const before = this.#askers.size;
    add(this.#askers, key, change);
    if (this.#askers.size !== before) this.#askedRevision += 1;
  }

  /** The entries whose selectors are all among these (`type:value`), except those that end by `now`; oldest first. */
  match(selectors: ReadonlySet<string>, now: number): Entry[] {
    const matching: Entry[] = [];
    for (const selector of selectors) {
      const file = this.#files.get(selector);
      if (file === undefined) continue;
      for (const { entry, keys } of file instanceof Set ? file : [file]) {
        if (keys.every((key) => selectors.has(key)) && !isExpired(entry, now)) matching.push(entry);
      }
    }
    return matching.sort(compareAge);
  }
}

/** `unix:sha256` of `unix:sha256:…`; `docker:label` and `docker:label:app` of `docker:label:app:web`. */
function kindsOf(key: string): string[] {
  const end = key.indexOf(':', key.indexOf(':') + 1);
  if (end === -1) return [key];
  const named = NAMED_KINDS.find(({ prefix }) => key.startsWith(prefix));
  const endOfName = named === undefined ? -1 : key.indexOf(named.end, end + 1);
  return endOfName === -1 ? [key.slice(0, end)] : [key.slice(0, end), key.slice(0, endOfName)];
}

function add(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

/** The selectors of an entry that a caller lacks. Empty: it matches, unless it has expired. */
export function missing(entry: Pick<Entry, 'selectors'>, selectors: ReadonlySet<string>): Selector[] {
  return entry.selectors.filter((selector) => !selectors.has(formatSelector(selector)));
}
