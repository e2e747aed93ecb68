/** The table of entries. */

import type { TrustDomain } from '../../spiffe/id.ts';
import type { Entry } from '../entry-fields.ts';
import type { EntryStore } from '../store/entry-store.ts';
import { type Access, RowError } from './access.ts';
import { ENTRY_COLUMNS, type EntryRow, fromRow, toRow } from './entry-row.ts';

/** @param trustDomain the server's; the SPIFFE ID of every entry is in it */
export function entryTable({ db, read, write }: Access, trustDomain: TrustDomain): EntryStore {
  const values = ENTRY_COLUMNS.map((name) => `@${name}`);
  const put = db.prepare<[EntryRow]>(
    `INSERT OR REPLACE INTO entries (${ENTRY_COLUMNS.join(', ')}) VALUES (${values.join(', ')})`,
  );
  const remove = db.prepare<[string]>('DELETE FROM entries WHERE id = ?');
  const all = db.prepare<[], EntryRow>('SELECT * FROM entries');

  const toEntry = (row: EntryRow): Entry => {
    try {
      return fromRow(row, trustDomain);
    } catch (thrown) {
      throw new RowError(`entry ${row.id}: ${(thrown as Error).message}`, { cause: thrown });
    }
  };

  return {
    load: async () => read(() => all.all().map(toEntry)),
    write: async (given) =>
      write(() => {
        for (const id of given.delete) remove.run(id);
        for (const entry of given.put) put.run(toRow(entry));
      }),
  };
}
