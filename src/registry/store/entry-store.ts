/** Where entries are kept. */

import type { Entry } from '../entry-fields.ts';

export interface EntryStore {
  /** Every entry, in no particular order. @throws ERR_STORE */
  load(): Promise<Entry[]>;
  /**
   * Durable when the promise resolves. One transaction: if it throws, nothing has changed. Entries that are replaced or
   * deleted make room first, so entries may swap their selectors in one write.
   *
   * Two keys are unique in the store: the id; and among the entries of one source, SPIFFE ID, parent and selectors
   * together. (The same entry may be declared by two sources, each of which owns its own.)
   *
   * @throws ERR_REVISION with the present revision in `extra.revision_number` when an entry is at another revision than
   *   the write says; ERR_NOT_FOUND when it does not exist; ERR_ENTRY_EXISTS with the existing entry as JSON in
   *   `extra.entry` when a key is taken; ERR_STORE
   */
  write(write: EntryWrite): Promise<void>;
}

export interface EntryWrite {
  readonly create: readonly Entry[];
  readonly update: readonly EntryUpdate[];
  readonly delete: readonly EntryDeletion[];
}

export interface EntryUpdate {
  /** The entry as it is from now on, with a new `revisionNumber`. */
  readonly entry: Entry;
  /** The `revisionNumber` that it replaces. */
  readonly replaces: number;
}

export interface EntryDeletion {
  readonly id: string;
  /** The `revisionNumber` that is deleted. */
  readonly revision: number;
}
