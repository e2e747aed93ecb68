/** What the registry holds and says: entries and their changes. */

import type { TrustDomain } from '../spiffe/id.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Aliases } from './aliases.ts';
import type { Entry } from './entry-fields.ts';
import type { FederatedBundles } from './federated-bundles.ts';

export type { Entry } from './entry-fields.ts';
export type { EntryRules } from './entry-rules.ts';

/** What a caller gives to make an entry, checked and with its defaults filled in. */
export type EntryInput = Omit<Entry, 'id' | 'createdAt' | 'updatedAt' | 'revisionNumber' | 'source'> & {
  /** Undefined: the registry makes a UUIDv4. */
  readonly id: string | undefined;
};

/** What may be changed in an entry: the members that are there. */
export type EntryPatch = Partial<Omit<EntryInput, 'id'>>;

/**
 * One entry's change: made (`before` undefined), changed, deleted or expired (`after` undefined). An expired entry counts
 * as not there, though it stays stored and listed: deleting it is no change, and giving it a later end makes it anew.
 */
export interface EntryChange {
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

export interface ListQuery {
  readonly spiffeId?: string;
  /** `type:value`; an entry must have all that are given. */
  readonly selectors?: readonly string[];
  readonly hint?: string;
  /** 1 to 1000. */
  readonly limit: number;
  /** What the page before returned; undefined: the first page. */
  readonly cursor?: string;
}

/** One selector that a caller lacks. */
export interface Lack {
  readonly selector: Selector;
  /** What the caller has of the same kind; empty: nothing. */
  readonly has: readonly Selector[];
  /** The one of those that is nearly the same: one of the two is likely mistyped. */
  readonly alike: Selector | undefined;
}

export interface NearMiss {
  readonly entry: Entry;
  /** Empty: the entry has expired, or is not for callers in containers, and that's all. */
  readonly lacks: readonly Lack[];
}

export interface NearQuery {
  /** Only entries that give it. */
  readonly spiffeId?: string | undefined;
  /** The caller is in a container: entries that are not for such are none of its own. */
  readonly contained?: boolean;
  readonly limit: number;
}

/** The entries, their rules and their changes. Every write is on disk when its promise is kept; changes are told in order. */
export interface Registry {
  readonly trustDomain: TrustDomain;
  readonly federatedBundles: FederatedBundles;
  readonly aliases: Aliases;
  /** How many entries there are. */
  readonly size: number;
  get(id: string): Entry | undefined;
  list(query: ListQuery): { entries: Entry[]; nextCursor: string };
  /**
   * All or none. @throws ERR_ENTRY_EXISTS with the existing entry as JSON in `extra.entry` (not where two inputs are the
   * same) and the input's place in `extra.index`
   */
  create(inputs: readonly EntryInput[], source: string): Promise<Entry[]>;
  /**
   * A patch that changes nothing leaves the revision and is told to nobody. @throws ERR_NOT_FOUND; ERR_REVISION when
   * `ifRevision` is given and not the entry's; ERR_ENTRY_EXISTS
   */
  update(id: string, patch: EntryPatch, ifRevision?: number): Promise<Entry>;
  /** @throws ERR_NOT_FOUND, ERR_REVISION */
  delete(id: string, ifRevision?: number): Promise<void>;
  /**
   * Makes the entries of one source equal to the inputs, matched by id, or where an input has none by SPIFFE ID,
   * selectors and parent. Other sources' entries are left alone. @throws ERR_ENTRY_EXISTS when one of those has an id of
   * the inputs, or two inputs are the same
   */
  replaceSource(source: string, inputs: readonly EntryInput[], options?: { dryRun?: boolean }): Promise<SourceChanges>;
  /** The entries whose selectors the caller has, all of each; none that has expired. Oldest first, then by id. */
  match(selectors: ReadonlySet<string>): Entry[];
  /** The entries that a caller with these selectors does not have, the nearest first; expired ones too. */
  nearMisses(selectors: ReadonlySet<string>, query: NearQuery): NearMiss[];
  /**
   * True if some entry that counts now has a selector of this kind (`unix:sha256`, or with the name of a label or variable
   * `docker:label:app`): others need not be found out.
   */
  asksFor(kind: string): boolean;
  /** How many entries that count now have this selector, as `type:value`. */
  askers(selector: string): number;
  /** Rises whenever a selector is asked for that was not, or is not any more. */
  readonly askedRevision: number;
  /** Entries, matching or not, that give this SPIFFE ID. */
  bySpiffeId(spiffeId: string): Entry[];
  /** Every SPIFFE ID that some entry gives. */
  spiffeIds(): Iterable<string>;
  /** Told after each durable write, in order, one call a transaction; and when an entry expires. */
  onChange(listener: (changes: readonly EntryChange[]) => void): () => void;
  close(): Promise<void>;
}

export interface SourceChanges {
  readonly created: readonly Entry[];
  readonly changed: readonly Entry[];
  readonly deleted: readonly Entry[];
  readonly kept: readonly Entry[];
}
