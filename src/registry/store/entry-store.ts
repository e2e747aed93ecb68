/** Where entries are kept. */

import type { Entry } from '../entry-fields.ts';

export interface EntryStore {
  /** Every entry, in no particular order. @throws ERR_STORE */
  load(): Promise<Entry[]>;
  /** Durable when the promise resolves. One transaction: if it throws, nothing has changed. @throws ERR_STORE */
  write(write: EntryWrite): Promise<void>;
}

/** The lists replace what is stored under the same ids. */
export interface EntryWrite {
  readonly put: readonly Entry[];
  readonly delete: readonly string[];
}
