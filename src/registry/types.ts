/** What the registry holds and says: entries, their changes, and the store behind them. */

import type { Problem } from '../base/errors.ts';
import type { IssuanceRecord } from '../base/issuance.ts';
import type { SpiffeId, TrustDomain } from '../spiffe/id.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Alias, Aliases } from './aliases.ts';
import type { DecisionStore } from './decision.ts';
import type { FederatedBundle, FederatedBundles } from './federated-bundles.ts';
import type { NamedStore } from './named.ts';

/** A registration entry: whoever has all of `selectors` may be `spiffeId`. Immutable; an update makes a new object. */
export interface Entry {
  /** `[A-Za-z0-9._-]`, 1 to 255 characters; a UUIDv4 unless the caller chose one. */
  readonly id: string;
  readonly spiffeId: SpiffeId;
  /** At least one; no two the same; sorted by type, then value. */
  readonly selectors: readonly Selector[];
  /** Kept and echoed for SPIRE's files; it grants nothing. Empty where none was given. */
  readonly parentId: string;
  /** Seconds; 0: the server's default. */
  readonly x509SvidTtl: number;
  /** Seconds; 0: the server's default. */
  readonly jwtSvidTtl: number;
  readonly dnsNames: readonly string[];
  readonly federatesWith: readonly TrustDomain[];
  /** At most 1024 characters; `default` makes it the answer to the SDS name `default`. */
  readonly hint: string;
  /** Callers in containers may have it though none of its selectors is a fact about the container. */
  readonly allowContained: boolean;
  /** When it ends, in milliseconds since the epoch; 0: never. Nothing is issued from that moment on. */
  readonly expiresAt: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
  /** 1 at first, one more at each change. */
  readonly revisionNumber: number;
  /** Who declares it: `api` for REST and the command line, `file` for `--entries`, or a name given to PUT. */
  readonly source: string;
}

/** What a caller gives to make an entry, checked and with its defaults filled in. */
export type EntryInput = Omit<Entry, 'id' | 'createdAt' | 'updatedAt' | 'revisionNumber' | 'source'> & {
  /** Undefined: the registry makes a UUIDv4. */
  readonly id: string | undefined;
};

/** What may be changed in an entry: the members that are there. */
export type EntryPatch = Partial<Omit<EntryInput, 'id'>>;

/** What the reading of entries depends on. */
export interface EntryRules {
  readonly trustDomain: TrustDomain;
  /** Takes entries that select by nothing but unix:path and unix:sha256. */
  readonly allowWeakSelectors: boolean;
  /** The types of selectors that attestors give here: `unix`. */
  readonly attestors: ReadonlySet<string>;
  /** Told of what is accepted but will hardly do what was meant. */
  readonly warn: (warning: Problem) => void;
}

/**
 * One entry's change: made (`before` undefined), changed, deleted or expired (`after` undefined). An expired entry counts
 * as not there, though it stays stored and listed: deleting it is no change, and giving it a later end makes it anew.
 */
export interface EntryChange {
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

/** One transaction of the store; the lists replace what stands under the same ids. */
export interface StoreWrite {
  readonly put: readonly Entry[];
  readonly delete: readonly string[];
}

/**
 * Where the registry keeps things. Asynchronous, since the next one is a database over a network; only this seam may
 * know that today's is a file.
 */
export interface RegistryStore {
  readonly bundles: NamedStore<FederatedBundle>;
  readonly aliases: NamedStore<Alias>;
  readonly decisions: DecisionStore;
  /** Every entry there is. */
  load(): Promise<Entry[]>;
  /** Writes durably and in one transaction, or throws ERR_STORE and leaves everything as it was. */
  write(write: StoreWrite): Promise<void>;
  /** Puts issuances on record, durably and in one transaction. */
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
  /** The newest issuances of a SPIFFE ID (of all without one), newest first. */
  issuances(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]>;
  /** Every SPIFFE ID that was ever issued. */
  issuedIds(): Promise<Set<string>>;
  close(): Promise<void>;
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
