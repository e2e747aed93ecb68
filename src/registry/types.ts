/** Types of the registry: entries and their changes. */

import type { Placeholder } from '../attest/index.ts';
import type { Actor } from '../audit/index.ts';
import type { Selector, SpiffeId, TrustBundle, TrustDomain } from '../spiffe/index.ts';
import type { Agents } from './agents.ts';
import type { Aliases } from './aliases.ts';
import type { Entry } from './entry-fields.ts';
import type { FederatedBundles } from './federated-bundles.ts';
import type { Relationships } from './relationships.ts';
import type { Revocations } from './revocations.ts';
import type { Tokens } from './tokens.ts';

export type { Entry } from './entry-fields.ts';
export type { EntryRules } from './entry-rules.ts';

/** Input for a new entry, checked and with defaults filled in. */
export type EntryInput = Omit<Entry, 'id' | 'createdAt' | 'updatedAt' | 'revisionNumber' | 'source'> & {
  /** Undefined: the registry creates a UUIDv4. */
  readonly id: string | undefined;
};

/** A change of an entry; absent members stay as they are. */
export type EntryPatch = Partial<Omit<EntryInput, 'id'>>;

/**
 * A change of one entry: created (`before` undefined), changed, deleted or expired (`after` undefined). An expired
 * entry counts as absent, although it stays stored and listed: deleting it is not a change, and giving it a later end
 * creates it again.
 */
export interface EntryChange {
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

export interface ListQuery {
  readonly spiffeId?: string;
  /** `type:value`; an entry must have all of them. */
  readonly selectors?: readonly string[];
  readonly hint?: string;
  /** Part of the id, the SPIFFE ID, the hint, a selector or a DNS name, in any case. */
  readonly search?: string;
  readonly source?: string;
  /** 1 to 1000. */
  readonly limit: number;
  /** The cursor of the previous page; undefined: the first page. */
  readonly cursor?: string;
}

/** A selector that a caller lacks. */
export interface Lack {
  readonly selector: Selector;
  /**
   * The caller's selectors of the same kind. For a negative selector: the fact that it excludes; empty if it is not known
   * whether the caller has that.
   */
  readonly has: readonly Selector[];
  /** The one among them that is similar: one of the two is probably misspelt. */
  readonly alike: Selector | undefined;
}

export interface NearMiss {
  readonly entry: Entry;
  /** Empty: the selectors match, but the entry has expired or is not for callers in containers. */
  readonly lacks: readonly Lack[];
}

export interface NearQuery {
  /** Only entries with this SPIFFE ID. */
  readonly spiffeId?: string | undefined;
  /** The caller is in a container, so entries that are not for containers count as missed. */
  readonly contained?: boolean;
  readonly limit: number;
}

/** Entries as they are now, and which of them match a caller. */
export interface EntriesView {
  readonly trustDomain: TrustDomain;
  /** Number of entries. */
  readonly size: number;
  get(id: string): Entry | undefined;
  /** The entry. @throws ERR_NOT_FOUND; ERR_REVISION if `ifRevision` is given and differs from the entry's */
  require(id: string, ifRevision?: number): Entry;
  list(query: ListQuery): { entries: Entry[]; nextCursor: string };
  /**
   * Whether the entry is for workloads of this host: all are, unless agents of other hosts attach. Then those are that name
   * no parent, or `/sidekey/agent/local`.
   */
  isLocal(entry: Pick<Entry, 'parentId'>): boolean;
  /** The live entries of this host whose selectors are all among these. Oldest first, then by id. */
  match(selectors: ReadonlySet<string>): Entry[];
  /**
   * The entries that a caller with these selectors does not get, nearest first; includes expired ones. With a SPIFFE ID,
   * also those whose templates could render it.
   */
  nearMisses(selectors: ReadonlySet<string>, query: NearQuery): NearMiss[];
  /**
   * True if some live entry has a selector of this kind (`unix:sha256`; for labels and variables also with the name,
   * `docker:label:app`). Attestors skip kinds that no entry has.
   */
  asksFor(kind: string): boolean;
  /** Number of live entries that have this selector, `type:value`, or its opposite. */
  askers(selector: string): number;
  /** The negative selectors of this type in live entries. */
  negatives(type: string): readonly Selector[];
  /** The placeholders of this type in templates of live entries. */
  placeholders(type: string): readonly Placeholder[];
  /** Increases when a selector is used by its first entry, or no entry any more. */
  readonly askedRevision: number;
  /** All entries with this SPIFFE ID, expired ones too. */
  bySpiffeId(spiffeId: string): Entry[];
  /** True if an entry, even an expired one, has exactly this SPIFFE ID. */
  names(spiffeId: SpiffeId): boolean;
  /** All entries whose templates render this SPIFFE ID for some callers, expired ones too. Oldest first. */
  couldRender(spiffeId: SpiffeId): Entry[];
  /** The SPIFFE IDs and templates of all entries. */
  spiffeIds(): Iterable<string>;
  /**
   * Calls the listener after each change that is durable, in order, once per transaction; and when an entry expires.
   * @returns a function that removes it
   */
  onChange(listener: (changes: readonly EntryChange[]) => void): () => void;
}

/** What decides about callers of this host, wherever it is kept: on this server, or on that of an agent. */
export interface RegistryView extends EntriesView {
  readonly federatedBundles: {
    get(trustDomain: string): TrustBundle | undefined;
    /** Sorted by trust domain. */
    list(): TrustBundle[];
  } & Pick<FederatedBundles, 'watch' | 'onChange'>;
  readonly aliases: { get(host: string): { readonly spiffeId: SpiffeId } | undefined } & Pick<Aliases, 'watch'>;
  /** By the serial numbers of the revoked SVIDs, lower-case hex. */
  readonly revocations: { get(serial: string): { readonly serial: string } | undefined };
}

/**
 * The entries, their rules and their changes. A write is on disk when its promise resolves, with its row of the audit;
 * changes are reported in order. `by` is who makes the change; without it, the server.
 */
export interface Registry extends RegistryView {
  readonly federatedBundles: FederatedBundles;
  readonly aliases: Aliases;
  readonly tokens: Tokens;
  readonly relationships: Relationships;
  readonly revocations: Revocations;
  readonly agents: Agents;
  /** Number of writes that run or wait. */
  readonly queuedWrites: number;
  /**
   * Creates all or none.
   * @throws ERR_ENTRY_EXISTS with the existing entry as JSON in `extra.entry` (except if two inputs are the same) and
   * the input's index in `extra.index`
   */
  create(inputs: readonly EntryInput[], source: string, by?: Actor): Promise<Entry[]>;
  /**
   * A patch that changes nothing keeps the revision and is not reported to listeners.
   * @throws ERR_NOT_FOUND; ERR_REVISION if `ifRevision` is given and differs from the entry's; ERR_ENTRY_EXISTS
   */
  update(id: string, patch: EntryPatch, ifRevision?: number, by?: Actor): Promise<Entry>;
  /** @throws ERR_NOT_FOUND, ERR_REVISION */
  delete(id: string, ifRevision?: number, by?: Actor): Promise<void>;
  /**
   * The change that a write would make now, without making it; `before` and `after` are the same object if it would change
   * nothing. @throws what the write would throw, except ERR_STORE
   */
  plan(write: PlannedWrite, source: string): EntryChange;
  /**
   * Makes the entries of one source equal to the inputs, in one write. An input is matched by id, or without an id by
   * SPIFFE ID, selectors and parent. Other sources' entries stay unchanged; an input that has the id of one and equals it
   * counts as kept.
   * @throws ERR_ENTRY_EXISTS if an input has the id of another source's entry and differs from it, or if two inputs are
   * the same; then with the problem, whose path is `/entries/<index>`
   */
  replaceSource(source: string, inputs: readonly EntryInput[], options?: SourceOptions): Promise<SourceChanges>;
  close(): Promise<void>;
}

/** One entry to create, to change, or to delete. */
export type PlannedWrite =
  | { readonly input: EntryInput }
  | { readonly id: string; readonly patch: EntryPatch; readonly ifRevision: number | undefined }
  | { readonly id: string; readonly ifRevision: number | undefined };

export interface SourceOptions {
  /** Only computes the changes. */
  readonly dryRun?: boolean;
  /** Delete the entries of the source that are not among the inputs; true by default. */
  readonly prune?: boolean;
  /**
   * Take over entries of other sources, except the file's, that an input names by id, or without an id by SPIFFE ID,
   * selectors and parent.
   */
  readonly adopt?: boolean;
  /** Who makes the change; the server by default. */
  readonly by?: Actor;
}

export interface SourceChanges {
  readonly created: readonly Entry[];
  readonly changed: readonly Entry[];
  /** The versions before, in the order of `changed`. */
  readonly replaced: readonly Entry[];
  readonly deleted: readonly Entry[];
  /** Those that equal an input already. */
  readonly kept: readonly Entry[];
  /** Entries of the source that are not among the inputs and stay, because they are not pruned. */
  readonly absent: readonly Entry[];
  /** Created entries that equal one of another source, by their index in the inputs. */
  readonly twins: readonly { readonly index: number; readonly entry: Entry }[];
}
