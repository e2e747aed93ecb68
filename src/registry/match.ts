/**
 * The index that finds the entries that match a caller's selectors. In memory; contains only live entries, as the
 * registry removes expired ones.
 *
 * Each entry is filed under one of its selectors: the one with the fewest entries at that time. A match reads only the
 * entries filed under the caller's own selectors. So 100,000 entries that share `unix:uid:1000` and differ in
 * `unix:path` cost a caller no more than a few.
 */

import { kindsOfPlaceholder, NAMED_KINDS, type Placeholder } from '../attest/index.ts';
import { formatSelector, isNegated, opposite, type Selector } from '../spiffe/index.ts';
import { compareAge, isExpired } from './entry.ts';
import type { Keyed } from './near.ts';
import { placeholdersOf } from './templates.ts';
import type { Entry } from './types.ts';

interface Filed extends Keyed {
  /** The selector that it is filed under. */
  readonly under: string;
}

export class MatchIndex {
  readonly #byId = new Map<string, Filed>();
  /** A file of one entry is stored without a set: most selectors that entries are filed under have one. */
  readonly #files = new Map<string, Filed | Set<Filed>>();
  /** Number of entries per selector; a negative one counts as its opposite, so that callers' facts have it. */
  readonly #askers = new Map<string, number>();
  /** Negative selectors and placeholders by type. */
  readonly #negatives = new CountedByType<Selector>();
  readonly #placeholders = new CountedByType<Placeholder>();
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

  /** The negative selectors of this type that entries have. */
  negatives(type: string): readonly Selector[] {
    return this.#negatives.of(type);
  }

  /** The placeholders of this type that entries' templates have. */
  placeholders(type: string): readonly Placeholder[] {
    return this.#placeholders.of(type);
  }

  /** Number of entries that have this selector, `type:value`, or its opposite. */
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
    this.#countAll(entry, keys, 1);
    // Most callers satisfy a negative selector, so entries are not filed under one.
    const positive = entry.selectors.some(isNegated) ? positiveKeys(entry) : keys;
    const under = this.#rarestOf(positive);
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
    this.#countAll(filed.entry, filed.keys, -1);
    const file = this.#files.get(filed.under)!;
    if (file instanceof Set) file.delete(filed);
    if (file === filed || (file as Set<Filed>).size === 0) this.#files.delete(filed.under);
  }

  /** The one with the fewest entries. Without any, as after manual edits of the database, the entry matches nobody. */
  #rarestOf([first = '', ...others]: readonly string[]): string {
    return others.reduce((rarest, key) => (this.#askers.get(key)! < this.#askers.get(rarest)! ? key : rarest), first);
  }

  #countAll(entry: Entry, keys: readonly string[], change: 1 | -1): void {
    for (const [at, selector] of entry.selectors.entries()) {
      const negated = isNegated(selector);
      const key = negated ? formatSelector(opposite(selector)) : keys[at]!;
      this.#count(key, change);
      for (const kind of kindsOf(key)) add(this.#kinds, kind, change);
      if (negated) this.#negatives.count(keys[at]!, selector, change);
    }
    for (const placeholder of placeholdersOf(entry)) {
      this.#placeholders.count(placeholder.name, placeholder, change);
      for (const kind of kindsOfPlaceholder(placeholder)) add(this.#kinds, kind, change);
    }
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

/** Things of entries, each once, by their type. */
class CountedByType<Counted extends { readonly type: string }> {
  readonly #byType = new Map<string, Map<string, { readonly one: Counted; count: number }>>();
  /** Made on demand. */
  readonly #lists = new Map<string, readonly Counted[]>();

  of(type: string): readonly Counted[] {
    if (this.#byType.size === 0) return NONE;
    const known = this.#lists.get(type);
    if (known !== undefined) return known;
    const list = Array.from(this.#byType.get(type)?.values() ?? NONE, ({ one }) => one);
    this.#lists.set(type, list);
    return list;
  }

  count(key: string, one: Counted, change: 1 | -1): void {
    this.#lists.delete(one.type);
    let ofType = this.#byType.get(one.type);
    if (ofType === undefined) {
      ofType = new Map();
      this.#byType.set(one.type, ofType);
    }
    const counted = ofType.get(key) ?? { one, count: 0 };
    counted.count += change;
    if (counted.count > 0) ofType.set(key, counted);
    else ofType.delete(key);
  }
}

const NONE: readonly never[] = [];

function positiveKeys({ selectors }: Pick<Entry, 'selectors'>): string[] {
  return selectors.filter((selector) => !isNegated(selector)).map(formatSelector);
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

/**
 * The selectors of an entry that a caller lacks: facts that it does not have, and negative selectors for facts that it has
 * or of which that is not known. Empty: it matches, unless it has expired.
 */
export function missing(entry: Pick<Entry, 'selectors'>, selectors: ReadonlySet<string>): Selector[] {
  return entry.selectors.filter((selector) => !selectors.has(formatSelector(selector)));
}
