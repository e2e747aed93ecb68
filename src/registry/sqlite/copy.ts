/** Copies a database without changing it, even while a server uses it. */

import { copyFileSync, existsSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import { storeError } from './access.ts';

/**
 * @param isServed whether a server uses it. If so, SQLite makes the copy, since only that is consistent; if not, the
 * files are copied, since SQLite would create files next to the database
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
    // A killed server leaves its last writes in this file.
    if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`);
  } catch (thrown) {
    throw storeError(thrown, from, 'read');
  }
}
