/** The registry: all entries in memory, persistent in the store. Changes are reported in order. */

import { randomUUID } from 'node:crypto';
import { type Actor, bodyOf, type EventBody, SERVER } from '../audit/index.ts';
import { type Clock, Slices } from '../base/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Agents } from './agents.ts';
import { Aliases } from './aliases.ts';
import { entryEvent } from './audit-events.ts';
import { differingFields, findTwins, similarityKey } from './entry.ts';
import { FederatedBundles } from './federated-bundles.ts';
import { FurtherLimits } from './further-limits.ts';
import { IndexedEntries } from './indexed-entries.ts';
import { Relationships } from './relationships.ts';
import { Revocations } from './revocations.ts';
import { planSource } from './source-plan.ts';
import { entryExists, sameEntries } from './store/conflict.ts';
import type { EntryUpdate } from './store/entry-store.ts';
import type { Store } from './store/store.ts';
import { Tokens } from './tokens.ts';
import type {
  Entry,
  EntryChange,
  EntryInput,
  EntryPatch,
  PlannedWrite,
  Registry,
  SourceChanges,
  SourceOptions,
} from './types.ts';
import { WriteQueue } from './write-queue.ts';

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

class StoredRegistry extends IndexedEntries implements Registry {
  readonly federatedBundles: FederatedBundles;
  readonly aliases: Aliases;
  readonly tokens: Tokens;
  readonly relationships: Relationships;
  readonly revocations: Revocations;
  readonly agents: Agents;
  readonly #parts: StoredRegistryParts;
  readonly #limits = new FurtherLimits();

  constructor(parts: StoredRegistryParts, entries: readonly Entry[]) {
    super(parts, entries);
    this.#parts = parts;
    this.federatedBundles = parts.federatedBundles;
    this.aliases = parts.aliases;
    this.tokens = parts.tokens;
    this.relationships = parts.relationships;
    this.revocations = parts.revocations;
    this.agents = parts.agents;
    for (const entry of entries) this.#limits.count(entry, 1);
  }

  get queuedWrites(): number {
    return this.#parts.queue.length;
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
        entries: () => this.all(),
        get: (id) => this.get(id),
        similarTo: (input) => this.similarTo(input),
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
    this.release();
  }

  async #commit({ create = [], update = [], delete: deleted = [], by: actor }: Commit): Promise<void> {
    const put = [...create, ...update.map(({ entry }) => entry)];
    if (put.length === 0 && deleted.length === 0) return;
    const replaced = update.map(({ entry }) => this.get(entry.id)!);
    this.#limits.check(put, [...deleted, ...replaced]);
    const deletions = deleted.map(({ id, revisionNumber }) => ({ id, revision: revisionNumber }));
    const events = await this.#eventsOf(deleted, put, actor);
    await this.#parts.store.entries.write({ create, update, delete: deletions }, events);
    for (const entry of [...deleted, ...replaced]) this.#limits.count(entry, -1);
    for (const entry of put) this.#limits.count(entry, 1);
    this.apply(deleted, put);
  }

  /** In slices, so that the transaction only has to hash and insert the rows. Nothing else is written meanwhile. */
  async #eventsOf(deleted: readonly Entry[], put: readonly Entry[], actor: Actor): Promise<EventBody[]> {
    const by = { at: this.#parts.clock.now(), by: actor };
    const slices = new Slices();
    const events: EventBody[] = [];
    const changes = [
      ...deleted.map((before) => ({ before, after: undefined })),
      ...put.map((after) => ({ before: this.get(after.id), after })),
    ];
    for (const change of changes) {
      events.push(bodyOf(entryEvent(change, by)));
      if (slices.isOver()) await slices.next();
    }
    return events;
  }

  #created(inputs: readonly EntryInput[], source: string): Entry[] {
    refuseTwins(inputs);
    for (const [index, input] of inputs.entries()) {
      const taken = input.id === undefined ? undefined : this.get(input.id);
      const existing = taken ?? this.similarTo(input);
      if (existing !== undefined) throw entryExists(existing, input, index);
    }
    return inputs.map((input) => this.#made(input, source));
  }

  #updated(id: string, patch: EntryPatch, ifRevision: number | undefined): { before: Entry; after: Entry } {
    const before = this.require(id, ifRevision);
    const after = this.#changed(before, patch);
    const key = similarityKey(after);
    const existing = key === similarityKey(before) ? undefined : this.similarTo(after);
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
}

function refuseTwins(inputs: readonly EntryInput[]): void {
  const twins = findTwins(inputs);
  if (twins !== undefined) throw sameEntries(...twins, inputs[twins[1]]!.spiffeId);
}
