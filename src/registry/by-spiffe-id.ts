/** Finds entries by SPIFFE ID, and those that are similar to an input. Most SPIFFE IDs have one entry. */

import { similarityKey } from './entry.ts';
import type { Entry, EntryInput } from './types.ts';

type Similar = Pick<EntryInput, 'spiffeId' | 'selectors' | 'parentId'>;

/** The entries of a SPIFFE ID that has several. */
interface Group {
  readonly entries: Set<Entry>;
  /** By {@link similarityKey}; made when it is first asked for. */
  similar: Map<string, Set<Entry>> | undefined;
}

export class EntriesBySpiffeId {
  /** A single entry is stored without a group, which would need more memory than the entry. */
  readonly #byId = new Map<string, Entry | Group>();

  add(entry: Entry): void {
    const known = this.#byId.get(entry.spiffeId);
    if (known === undefined) {
      this.#byId.set(entry.spiffeId, entry);
      return;
    }
    const group = isGroup(known) ? known : { entries: new Set([known]), similar: undefined };
    group.entries.add(entry);
    if (group.similar !== undefined) addTo(group.similar, entry);
    this.#byId.set(entry.spiffeId, group);
  }

  remove(entry: Entry): void {
    const known = this.#byId.get(entry.spiffeId);
    if (known === undefined) return;
    if (!isGroup(known)) {
      if (known === entry) this.#byId.delete(entry.spiffeId);
      return;
    }
    known.entries.delete(entry);
    if (known.entries.size === 0) this.#byId.delete(entry.spiffeId);
    const key = similarityKey(entry);
    const similar = known.similar?.get(key);
    similar?.delete(entry);
    if (similar?.size === 0) known.similar!.delete(key);
  }

  has(spiffeId: string): boolean {
    return this.#byId.has(spiffeId);
  }

  of(spiffeId: string): Entry[] {
    const known = this.#byId.get(spiffeId);
    if (known === undefined) return [];
    return isGroup(known) ? [...known.entries] : [known];
  }

  ids(): Iterable<string> {
    return this.#byId.keys();
  }

  /** An entry with the same SPIFFE ID, selectors and parent. */
  similarTo(input: Similar): Entry | undefined {
    const known = this.#byId.get(input.spiffeId);
    if (known === undefined) return undefined;
    const key = similarityKey(input);
    if (!isGroup(known)) return similarityKey(known) === key ? known : undefined;
    if (known.similar === undefined) {
      known.similar = new Map();
      for (const entry of known.entries) addTo(known.similar, entry);
    }
    return known.similar.get(key)?.values().next().value;
  }
}

function isGroup(known: Entry | Group): known is Group {
  return 'entries' in known;
}

function addTo(map: Map<string, Set<Entry>>, entry: Entry): void {
  const key = similarityKey(entry);
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([entry]));
  else set.add(entry);
}
