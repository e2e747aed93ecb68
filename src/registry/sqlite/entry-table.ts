/** The table of entries. */

import { hash } from 'node:crypto';
import type { TrustDomain } from '../../spiffe/index.ts';
import { similarityKey } from '../entry.ts';
import type { Entry } from '../entry-fields.ts';
import { entryExists, noSuchEntry, staleEntry } from '../store/conflict.ts';
import type { EntryStore } from '../store/entry-store.ts';
import { type Access, isTaken, RowError } from './access.ts';
import { ENTRY_COLUMNS, type EntryRow, fromRow, toRow } from './entry-row.ts';
import type { Logs } from './logs.ts';

/** In addition to the entry's fields: `similarity`, a digest of the fields that must be unique within a source. */
type StoredRow = EntryRow & { similarity: string };

export interface EntryTable {
  readonly store: EntryStore;
  /** Inside a transaction. */
  get(id: string): Entry | undefined;
}

/** @param trustDomain the server's trust domain, which contains the SPIFFE ID of every entry */
export function entryTable({ db, read, write }: Access, logs: Logs, trustDomain: TrustDomain): EntryTable {
  const columns = [...ENTRY_COLUMNS, 'similarity'];
  const insert = db.prepare<[StoredRow]>(
    `INSERT INTO entries (${columns.join(', ')}) VALUES (${columns.map((name) => `@${name}`).join(', ')})`,
  );
  const remove = db.prepare<[string, number]>('DELETE FROM entries WHERE id = ? AND revision_number = ?');
  const all = db.prepare<[], EntryRow>(`SELECT ${ENTRY_COLUMNS.join(', ')} FROM entries`);
  const byId = db.prepare<[string], EntryRow>(`SELECT ${ENTRY_COLUMNS.join(', ')} FROM entries WHERE id = ?`);
  const bySimilarity = db.prepare<[string, string], EntryRow>(
    `SELECT ${ENTRY_COLUMNS.join(', ')} FROM entries WHERE similarity = ? AND source = ?`,
  );

  const toEntry = (row: EntryRow): Entry => {
    try {
      return fromRow(row, trustDomain);
    } catch (thrown) {
      throw new RowError(`entry ${row.id}: ${(thrown as Error).message}`, { cause: thrown });
    }
  };
  const removeRevision = (id: string, revision: number): void => {
    if (remove.run(id, revision).changes === 1) return;
    const present = byId.get(id);
    if (present === undefined) throw noSuchEntry(id);
    throw staleEntry(id, { present: toEntry(present).revisionNumber, given: revision });
  };
  const add = (entry: Entry): void => {
    const row: StoredRow = Object.assign(toRow(entry), { similarity: similarityOf(entry) });
    try {
      insert.run(row);
    } catch (thrown) {
      const existing = isTaken(thrown)
        ? (byId.get(entry.id) ?? bySimilarity.get(row.similarity, entry.source))
        : undefined;
      throw existing === undefined ? thrown : entryExists(toEntry(existing), entry);
    }
  };

  return {
    get: (id) => {
      const row = byId.get(id);
      return row && toEntry(row);
    },
    store: {
      load: async () => read(() => all.all().map(toEntry)),
      write: async (given, events = []) =>
        write(() => {
          const updated = given.update.map(({ entry }) => entry);
          for (const { id, revision } of given.delete) removeRevision(id, revision);
          for (const { entry, replaces } of given.update) removeRevision(entry.id, replaces);
          for (const entry of [...given.create, ...updated]) add(entry);
          logs.changes.note(
            'entry',
            [...given.delete, ...given.create, ...updated].map(({ id }) => id),
          );
          logs.audit.add(events);
        }),
    },
  };
}

/** A digest, so that the index is small even with many selectors. */
function similarityOf(entry: Entry): string {
  return hash('sha256', similarityKey(entry), 'base64url');
}
