/** Copies a database without changing it, also while a server uses it. */

import { copyFileSync, existsSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { storeError } from './access.ts';

/**
 * @param isServed whether a server uses it: then only SQLite itself can make a copy that is whole; otherwise SQLite would
 *   leave its own files beside the database
 * @throws ERR_STORE
 */
export async function copyDatabase(from: string, to: string, isServed: boolean): Promise<void> {
  try {
    if (isServed) {
      const db = new Sqlite(from, { readonly: true, fileMustExist: true });
      try {
        await db.backup(to);
      } finally {
        db.close();
      }
      return;
    }
    copyFileSync(from, to);
    // A server that was killed leaves its last writes there.
    if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`);
  } catch (thrown) {
    throw storeError(thrown, from, 'read');
  }
}
