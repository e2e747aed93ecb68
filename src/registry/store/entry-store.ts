/** Stores entries. */

import type { AuditEvent, EventBody } from '../../audit/index.ts';
import type { Entry } from '../entry-fields.ts';

export interface EntryStore {
  /** Every entry, in no particular order. @throws ERR_STORE */
  load(): Promise<Entry[]>;
  /**
   * Durable when the promise resolves. One transaction: if it throws, nothing has changed. Deletions and replacements
   * come first, so two entries may swap their selectors in one write.
   *
   * Two keys are unique: the id; and within a source, SPIFFE ID, parent and selectors together. Two sources may declare
   * the same entry; each owns its own.
   *
   * @param events rows for the audit, added in the same transaction
   * @throws ERR_REVISION with the present revision in `extra.revision_number` if an entry has another revision than the
   * write expects; ERR_NOT_FOUND if it does not exist; ERR_ENTRY_EXISTS with the existing entry as JSON in
   * `extra.entry` if a key is taken; ERR_STORE
   */
  write(write: EntryWrite, events?: readonly (AuditEvent | EventBody)[]): Promise<void>;
}

export interface EntryWrite {
  readonly create: readonly Entry[];
  readonly update: readonly EntryUpdate[];
  readonly delete: readonly EntryDeletion[];
}

export interface EntryUpdate {
  /** The new version, with a new `revisionNumber`. */
  readonly entry: Entry;
  /** The expected `revisionNumber` of the replaced version. */
  readonly replaces: number;
}

export interface EntryDeletion {
  readonly id: string;
  /** The expected `revisionNumber` of the deleted version. */
  readonly revision: number;
}
