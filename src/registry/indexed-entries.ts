/** Entries in memory: their order, their indexes, and which of them are live. */

import type { Placeholder } from '../attest/index.ts';
import { type Clock, type Deadline, Listeners } from '../base/index.ts';
import { type Selector, type SpiffeId, type TrustDomain, trustDomainId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { EntriesBySpiffeId } from './by-spiffe-id.ts';
import { isForContained } from './contained.ts';
import { compareAge, isExpired } from './entry.ts';
import { insertInOrder, listPage, removeFromOrder } from './list.ts';
import { MatchIndex } from './match.ts';
import { type Keyed, keyed, nearestEntries } from './near.ts';
import { noSuchEntry, staleEntry } from './store/conflict.ts';
import { Templates } from './templates.ts';
import type { EntriesView, Entry, EntryChange, EntryInput, ListQuery, NearMiss, NearQuery } from './types.ts';

/** From this number of new entries on, sorting the whole list is faster than inserting them one by one. */
const BULK = 100;

export interface IndexedEntriesParts {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  /** Entries may be for other hosts, by their parents; false by default. */
  readonly hasAgents?: boolean;
}

export class IndexedEntries implements EntriesView {
  readonly trustDomain: TrustDomain;
  readonly #parts: IndexedEntriesParts;
  readonly #entries = new Map<string, Entry>();
  readonly #bySpiffeId = new EntriesBySpiffeId();
  /** The entries that are live for the listeners. An expired entry is removed when the listeners are informed. */
  readonly #live = new MatchIndex();
  /** All entries with templates. */
  readonly #templates = new Templates();
  readonly #expiries = new Map<string, Deadline>();
  /** All entries in order; sorted on demand, discarded by large writes. */
  #ordered: Entry[] | undefined;
  readonly #listeners: Listeners<readonly EntryChange[]>;

  constructor(parts: IndexedEntriesParts, entries: readonly Entry[] = []) {
    this.#parts = parts;
    this.#listeners = new Listeners((err) =>
      parts.log.error({ err }, 'a listener for registry changes threw an error'),
    );
    this.trustDomain = parts.trustDomain;
    for (const entry of entries) this.#put(entry);
  }

  /** All entries, in no order. */
  protected all(): Iterable<Entry> {
    return this.#entries.values();
  }

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  require(id: string, ifRevision?: number): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw noSuchEntry(id);
    if (ifRevision === undefined || ifRevision === entry.revisionNumber) return entry;
    throw staleEntry(id, { present: entry.revisionNumber, given: ifRevision });
  }

  list(query: ListQuery): { entries: Entry[]; nextCursor: string } {
    this.#ordered ??= [...this.#entries.values()].sort(compareAge);
    return listPage(query.spiffeId === undefined ? this.#ordered : this.bySpiffeId(query.spiffeId), query);
  }

  asksFor(kind: string): boolean {
    return this.#live.asksFor(kind);
  }

  askers(selector: string): number {
    return this.#live.askers(selector);
  }

  get askedRevision(): number {
    return this.#live.askedRevision;
  }

  negatives(type: string): readonly Selector[] {
    return this.#live.negatives(type);
  }

  placeholders(type: string): readonly Placeholder[] {
    return this.#live.placeholders(type);
  }

  match(selectors: ReadonlySet<string>): Entry[] {
    const matching = this.#live.match(selectors, this.#parts.clock.now());
    return this.#parts.hasAgents === true ? matching.filter((entry) => this.isLocal(entry)) : matching;
  }

  isLocal({ parentId }: Pick<Entry, 'parentId'>): boolean {
    if (this.#parts.hasAgents !== true || parentId === '') return true;
    return parentId === localAgentId(this.trustDomain);
  }

  bySpiffeId(spiffeId: string): Entry[] {
    return this.#bySpiffeId.of(spiffeId).sort(compareAge);
  }

  names(spiffeId: SpiffeId): boolean {
    return this.#bySpiffeId.has(spiffeId);
  }

  couldRender(spiffeId: SpiffeId): Entry[] {
    return [...this.#templates.thatCouldRender(spiffeId)].sort(compareAge);
  }

  spiffeIds(): Iterable<string> {
    return this.#bySpiffeId.ids();
  }

  nearMisses(selectors: ReadonlySet<string>, query: NearQuery): NearMiss[] {
    const { spiffeId, contained = false, limit } = query;
    const matching = this.match(selectors);
    const mine = new Set((contained ? matching.filter(isForContained) : matching).map(({ id }) => id));
    const entries = spiffeId === undefined ? this.#keyed() : this.#giving(spiffeId).map(keyed);
    const misses = nearestEntries(entries, selectors, limit + mine.size);
    return misses.filter(({ entry }) => !mine.has(entry.id)).slice(0, limit);
  }

  /** The entries of this SPIFFE ID, and those with a template that could render it. */
  #giving(spiffeId: string): Entry[] {
    const giving = [...this.bySpiffeId(spiffeId), ...this.couldRender(spiffeId as SpiffeId)];
    return giving.filter((entry) => this.isLocal(entry));
  }

  /** All entries. Live ones have their keys in the index. */
  *#keyed(): Iterable<Keyed> {
    for (const filed of this.#live.filed()) if (this.isLocal(filed.entry)) yield filed;
    for (const entry of this.#entries.values()) {
      if (!this.#live.has(entry.id) && this.isLocal(entry)) yield keyed(entry);
    }
  }

  onChange(listener: (changes: readonly EntryChange[]) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Deletes and stores entries, and tells the listeners. An entry replaces the one with its id. */
  protected apply(deleted: readonly Entry[], put: readonly Entry[]): void {
    if (put.length + deleted.length >= BULK) this.#ordered = undefined;
    const changes = [...deleted.map((entry) => this.#remove(entry)), ...put.map((entry) => this.#put(entry))];
    this.#tell(changes.filter(({ before, after }) => before !== undefined || after !== undefined));
  }

  /** An entry with the same SPIFFE ID, selectors and parent. */
  protected similarTo(input: Pick<EntryInput, 'spiffeId' | 'selectors' | 'parentId'>): Entry | undefined {
    return this.#bySpiffeId.similarTo(input);
  }

  /** Drops the listeners and the deadlines. */
  protected release(): void {
    for (const deadline of this.#expiries.values()) deadline.cancel();
    this.#expiries.clear();
    this.#listeners.clear();
  }

  /** Stores an entry in memory. The returned change only has the live versions. */
  #put(entry: Entry): EntryChange {
    const { before } = this.#remove(this.#entries.get(entry.id));
    this.#entries.set(entry.id, entry);
    if (this.#ordered !== undefined) insertInOrder(this.#ordered, entry);
    this.#bySpiffeId.add(entry);
    this.#templates.put(entry);
    if (isExpired(entry, this.#parts.clock.now())) return { before, after: undefined };
    this.#live.put(entry);
    if (entry.expiresAt !== 0) {
      const deadline = this.#parts.clock.at(entry.expiresAt, () => this.#expire(entry));
      this.#expiries.set(entry.id, deadline);
    }
    return { before, after: entry };
  }

  #remove(entry: Entry | undefined): EntryChange {
    if (entry === undefined) return { before: undefined, after: undefined };
    const wasLive = this.#live.has(entry.id);
    this.#live.delete(entry.id);
    this.#expiries.get(entry.id)?.cancel();
    this.#expiries.delete(entry.id);
    this.#entries.delete(entry.id);
    this.#bySpiffeId.remove(entry);
    this.#templates.delete(entry);
    if (this.#ordered !== undefined) removeFromOrder(this.#ordered, entry);
    return { before: wasLive ? entry : undefined, after: undefined };
  }

  /** An expired entry stays expired even if the clock is set back. */
  #expire(entry: Entry): void {
    this.#expiries.delete(entry.id);
    this.#live.delete(entry.id);
    this.#parts.log.info({ entry_id: entry.id, spiffe_id: entry.spiffeId }, 'entry expired');
    this.#tell([{ before: entry, after: undefined }]);
  }

  #tell(changes: readonly EntryChange[]): void {
    if (changes.length > 0) this.#listeners.tell(changes);
  }
}

/** The parent of entries of the server's own host. */
export function localAgentId(trustDomain: TrustDomain): string {
  return `${trustDomainId(trustDomain)}/sidekey/agent/local`;
}
