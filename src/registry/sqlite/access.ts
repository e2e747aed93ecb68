/** Access of the tables to the database: all work runs in transactions, and failures become ERR_STORE. */

import type { Database } from 'better-sqlite3';
import { SidekeyError } from '../../base/index.ts';
import { StoreTimes } from '../store/store-times.ts';

/**
 * Each method returns the result of the work. Errors become ERR_STORE, except that a SidekeyError is thrown unchanged.
 */
export interface Access {
  readonly db: Database;
  /** All reads of the work see the same state. */
  read<T>(work: () => T): T;
  /** On disk when it returns; rolled back if it throws. */
  write<T>(work: () => T): T;
  /** Like `write`, but a power cut may lose it; the database stays consistent. */
  writeWithoutSync<T>(work: () => T): T;
  close(): void;
}

/** @param file the database's path, for messages */
export function accessTo(db: Database, file: string, times = new StoreTimes()): Access {
  const guard = <T>(what: string, work: () => T): T => {
    try {
      return work();
    } catch (thrown) {
      throw storeError(thrown, file, what);
    }
  };
  return {
    db,
    read: (work) => times.measure('read', () => guard('read', () => db.transaction(work).deferred())),
    write: (work) => times.measure('write', () => guard('written', () => db.transaction(work).immediate())),
    writeWithoutSync: (work) =>
      times.measure('record', () =>
        guard('written', () => {
          db.pragma('synchronous = NORMAL');
          try {
            return db.transaction(work).immediate();
          } finally {
            db.pragma('synchronous = FULL');
          }
        }),
      ),
    close: () => guard('closed', () => void db.close()),
  };
}

/** True for SQLite's error about a duplicate of a unique key. */
export function isTaken(thrown: unknown): boolean {
  const { code } = thrown as { code?: string };
  return code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_UNIQUE';
}

/** A row that Sidekey cannot have written; the message names it and the reason. */
export class RowError extends Error {}

export function damaged(file: string, detail: string, cause?: unknown): SidekeyError {
  return new SidekeyError(
    'ERR_STORE',
    `${file} is damaged (${detail}): keep a copy of it and its -wal file, then restore a backup, or move them away to start with no entries`,
    { cause },
  );
}

/** @param what completes "the file could not be …" */
export function storeError(thrown: unknown, file: string, what: string): SidekeyError {
  if (thrown instanceof SidekeyError) return thrown;
  if (thrown instanceof RowError) return damaged(file, thrown.message, thrown);
  const { code, message } = thrown as Error & { code?: string };
  if (code?.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return damaged(file, message, thrown);
  // A full disk has several error codes, such as SQLITE_IOERR_SHMSIZE.
  const detail = code?.startsWith('SQLITE_IOERR') ? `${message} (${code})` : message;
  return new SidekeyError('ERR_STORE', `${file} could not be ${what}: ${detail}`, { cause: thrown });
}
