/** The registry: all entries in memory, persistent in the store. Changes are reported in order. */

import { randomUUID } from 'node:crypto';
import type { Placeholder } from '../attest/index.ts';
import { type Actor, bodyOf, type EventBody, SERVER } from '../audit/index.ts';
import { type Clock, type Deadline, Listeners, Slices } from '../base/index.ts';
import { type Selector, type SpiffeId, type TrustDomain, trustDomainId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Agents } from './agents.ts';
import { Aliases } from './aliases.ts';
import { entryEvent } from './audit-events.ts';
import { EntriesBySpiffeId } from './by-spiffe-id.ts';
import { isForContained } from './contained.ts';
import { compareAge, differingFields, findTwins, isExpired, similarityKey } from './entry.ts';
import { FederatedBundles } from './federated-bundles.ts';
import { FurtherLimits } from './further-limits.ts';
import { insertInOrder, listPage, removeFromOrder } from './list.ts';
import { MatchIndex } from './match.ts';
import { type Keyed, keyed, nearestEntries } from './near.ts';
import { Relationships } from './relationships.ts';
import { Revocations } from './revocations.ts';
import { planSource } from './source-plan.ts';
import { entryExists, noSuchEntry, sameEntries, staleEntry } from './store/conflict.ts';
import type { EntryUpdate } from './store/entry-store.ts';
import type { Store } from './store/store.ts';
import { Templates } from './templates.ts';
import { Tokens } from './tokens.ts';
import type {
  Entry,
  EntryChange,
  EntryInput,
  EntryPatch,
  ListQuery,
  NearMiss,
  NearQuery,
  PlannedWrite,
  Registry,
  SourceChanges,
  SourceOptions,
} from './types.ts';
import { WriteQueue } from './write-queue.ts';

/** From this number of new entries on, sorting the whole list is faster than inserting them one by one. */
const BULK = 100;
/** Maximum number of log lines about duplicates of other sources' entries per write. */
const MOST_TWINS = 100;

export interface RegistryParts {
  readonly store: Pick<
    Store,
    'entries' | 'bundles' | 'aliases' | 'tokens' | 'relationships' | 'agents' | 'joinTokens' | 'revocations'
  >;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  /** Agents of other hosts attach, so an entry is for the host that its parent names; false by default. */
  readonly hasAgents?: boolean;
}

/** Loads the whole store. The caller closes the store, after the registry. @throws ERR_STORE */
export async function openRegistry(parts: RegistryParts): Promise<Registry> {
  const { store, clock, log } = parts;
  const queue = new WriteQueue();
  const federatedBundles = await FederatedBundles.open({ store: store.bundles, queue, clock, log });
  const aliases = await Aliases.open({ store: store.aliases, queue, clock, log });
  const tokens = await Tokens.open({ store: store.tokens, queue, clock, log });
  const relationships = await Relationships.open({ store: store.relationships, queue, clock, log });
  const revocations = await Revocations.open({ store: store.revocations, queue, clock, log });
  for (const { trustDomain, source } of federatedBundles.list()) {
    // The server ended between the two deletions.
    if (source !== 'polled' || relationships.get(trustDomain) !== undefined) continue;
    log.warn({ trust_domain: trustDomain }, 'the bundle of a deleted federation relationship is deleted');
    await federatedBundles.delete(trustDomain);
  }
  const agents = await Agents.open({ store: store.agents, tokens: store.joinTokens, queue, clock, log });
  const opened = { ...parts, queue, federatedBundles, aliases, tokens, relationships, revocations, agents };
  return new StoredRegistry(opened, await store.entries.load());
}

interface StoredRegistryParts
  extends RegistryParts,
    Pick<Registry, 'federatedBundles' | 'aliases' | 'tokens' | 'relationships' | 'revocations' | 'agents'> {
  readonly queue: WriteQueue;
}

/** One write. It has the deleted entries as they are in memory. */
interface Commit {
  readonly create?: readonly Entry[];
  readonly update?: readonly EntryUpdate[];
  readonly delete?: readonly Entry[];
  /** Who makes it. */
  readonly by: Actor;
}

class StoredRegistry implements Registry {
  readonly trustDomain: TrustDomain;
  readonly federatedBundles: FederatedBundles;
  readonly aliases: Aliases;
  readonly tokens: Tokens;
  readonly relationships: Relationships;
  readonly revocations: Revocations;
  readonly agents: Agents;
  readonly #parts: StoredRegistryParts;
  readonly #entries = new Map<string, Entry>();
  readonly #bySpiffeId = new EntriesBySpiffeId();
  /** The entries that are live for the listeners. An expired entry is removed when the listeners are informed. */
  readonly #live = new MatchIndex();
  /** All entries with templates. */
  readonly #templates = new Templates();
  readonly #limits = new FurtherLimits();
  readonly #expiries = new Map<string, Deadline>();
  /** All entries in order; sorted on demand, discarded by large writes. */
  #ordered: Entry[] | undefined;
  readonly #listeners: Listeners<readonly EntryChange[]>;

  constructor(parts: StoredRegistryParts, entries: readonly Entry[]) {
    this.#parts = parts;
    this.#listeners = new Listeners((err) =>
      parts.log.error({ err }, 'a listener for registry changes threw an error'),
    );
    this.trustDomain = parts.trustDomain;
    this.federatedBundles = parts.federatedBundles;
    this.aliases = parts.aliases;
    this.tokens = parts.tokens;
    this.relationships = parts.relationships;
    this.revocations = parts.revocations;
    this.agents = parts.agents;
    for (const entry of entries) this.#put(entry);
  }

  get size(): number {
    return this.#entries.size;
  }

  get queuedWrites(): number {
    return this.#parts.queue.length;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
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

  create(inputs: readonly EntryInput[], source: string, by: Actor = SERVER): Promise<Entry[]> {
    return this.#parts.queue.add(async () => {
      const entries = this.#created(inputs, source);
      await this.#commit({ create: entries, by });
      return entries;
    });
  }

  update(id: string, patch: EntryPatch, ifRevision?: number, by: Actor = SERVER): Promise<Entry> {
    return this.#parts.queue.add(async () => {
      const { before, after } = this.#updated(id, patch, ifRevision);
      if (after !== before) await this.#commit({ update: [{ entry: after, replaces: before.revisionNumber }], by });
      return after;
    });
  }

  delete(id: string, ifRevision?: number, by: Actor = SERVER): Promise<void> {
    return this.#parts.queue.add(async () => {
      await this.#commit({ delete: [this.require(id, ifRevision)], by });
    });
  }

  plan(write: PlannedWrite, source: string): EntryChange {
    const { before, after } = this.#planned(write, source);
    if (after !== undefined && after !== before) this.#limits.check([after], before === undefined ? [] : [before]);
    return { before, after };
  }

  #planned(write: PlannedWrite, source: string): EntryChange {
    if ('input' in write) return { before: undefined, after: this.#created([write.input], source)[0] };
    if ('patch' in write) return this.#updated(write.id, write.patch, write.ifRevision);
    return { before: this.require(write.id, write.ifRevision), after: undefined };
  }

  replaceSource(source: string, inputs: readonly EntryInput[], options: SourceOptions = {}): Promise<SourceChanges> {
    return this.#parts.queue.add(async () => {
      const changes = await planSource(source, inputs, options, {
        entries: () => this.#entries.values(),
        get: (id) => this.#entries.get(id),
        similarTo: (input) => this.#similarTo(input),
        made: (input, by) => this.#made(input, by),
        changed: (before, patch) => this.#changed(before, patch),
      });
      if (options.dryRun === true) return changes;
      for (const { id, spiffeId, source: other } of changes.twins.slice(0, MOST_TWINS).map(({ entry }) => entry)) {
        const entry = { entry_id: id, spiffe_id: spiffeId, source: other };
        this.#parts.log.warn(entry, `source ${source} declares an entry that exists already`);
      }
      const { created, changed, replaced, deleted } = changes;
      const update = changed.map((entry, at) => ({ entry, replaces: replaced[at]!.revisionNumber }));
      await this.#commit({ create: created, update, delete: deleted, by: options.by ?? SERVER });
      return changes;
    });
  }

  async close(): Promise<void> {
    await this.#parts.queue.close();
    for (const deadline of this.#expiries.values()) deadline.cancel();
    this.#expiries.clear();
    this.#listeners.clear();
  }

  async #commit({ create = [], update = [], delete: deleted = [], by: actor }: Commit): Promise<void> {
    const put = [...create, ...update.map(({ entry }) => entry)];
    if (put.length === 0 && deleted.length === 0) return;
    const replaced = update.map(({ entry }) => this.#entries.get(entry.id)!);
    this.#limits.check(put, [...deleted, ...replaced]);
    const deletions = deleted.map(({ id, revisionNumber }) => ({ id, revision: revisionNumber }));
    const events = await this.#eventsOf(deleted, put, actor);
    await this.#parts.store.entries.write({ create, update, delete: deletions }, events);
    if (put.length + deleted.length >= BULK) this.#ordered = undefined;
    const changes = [...deleted.map((entry) => this.#remove(entry)), ...put.map((entry) => this.#put(entry))];
    this.#tell(changes.filter(({ before, after }) => before !== undefined || after !== undefined));
  }

  /** In slices, so that the transaction only has to hash and insert the rows. Nothing else is written meanwhile. */
  async #eventsOf(deleted: readonly Entry[], put: readonly Entry[], actor: Actor): Promise<EventBody[]> {
    const by = { at: this.#parts.clock.now(), by: actor };
    const slices = new Slices();
    const events: EventBody[] = [];
    const changes = [
      ...deleted.map((before) => ({ before, after: undefined })),
      ...put.map((after) => ({ before: this.#entries.get(after.id), after })),
    ];
    for (const change of changes) {
      events.push(bodyOf(entryEvent(change, by)));
      if (slices.isOver()) await slices.next();
    }
    return events;
  }

  /** Stores an entry in memory. The returned change only has the live versions. */
  #put(entry: Entry): EntryChange {
    const { before } = this.#remove(this.#entries.get(entry.id));
    this.#entries.set(entry.id, entry);
    if (this.#ordered !== undefined) insertInOrder(this.#ordered, entry);
    this.#bySpiffeId.add(entry);
    this.#templates.put(entry);
    this.#limits.count(entry, 1);
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
    this.#limits.count(entry, -1);
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

  #created(inputs: readonly EntryInput[], source: string): Entry[] {
    refuseTwins(inputs);
    for (const [index, input] of inputs.entries()) {
      const taken = input.id === undefined ? undefined : this.#entries.get(input.id);
      const existing = taken ?? this.#similarTo(input);
      if (existing !== undefined) throw entryExists(existing, input, index);
    }
    return inputs.map((input) => this.#made(input, source));
  }

  #updated(id: string, patch: EntryPatch, ifRevision: number | undefined): { before: Entry; after: Entry } {
    const before = this.require(id, ifRevision);
    const after = this.#changed(before, patch);
    const key = similarityKey(after);
    const existing = key === similarityKey(before) ? undefined : this.#similarTo(after);
    if (existing !== undefined) throw entryExists(existing, after);
    return { before, after };
  }

  #made(input: EntryInput, source: string): Entry {
    const now = this.#parts.clock.now();
    return { ...input, id: input.id ?? randomUUID(), createdAt: now, updatedAt: now, revisionNumber: 1, source };
  }

  /** The entry with the patch applied; the same object if nothing changes. */
  #changed(before: Entry, patch: EntryPatch & { readonly source?: string }): Entry {
    const after = { ...before, ...patch, id: before.id };
    if (differingFields(before, after).length === 0) return before;
    return { ...after, updatedAt: this.#parts.clock.now(), revisionNumber: before.revisionNumber + 1 };
  }

  require(id: string, ifRevision?: number): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw noSuchEntry(id);
    if (ifRevision === undefined || ifRevision === entry.revisionNumber) return entry;
    throw staleEntry(id, { present: entry.revisionNumber, given: ifRevision });
  }

  #similarTo(input: Pick<EntryInput, 'spiffeId' | 'selectors' | 'parentId'>): Entry | undefined {
    return this.#bySpiffeId.similarTo(input);
  }
}

/** The parent of entries of the server's own host. */
export function localAgentId(trustDomain: TrustDomain): string {
  return `${trustDomainId(trustDomain)}/sidekey/agent/local`;
}

function refuseTwins(inputs: readonly EntryInput[]): void {
  const twins = findTwins(inputs);
  if (twins !== undefined) throw sameEntries(...twins, inputs[twins[1]]!.spiffeId);
}
