/**
 * The table of changes: in each row what was written and its name, in the same transaction as the write. Rows are numbered
 * in the order of the commits, because SQLite has one writer at a time; a number is never used again (AUTOINCREMENT).
 */

import type { Change, ChangeCursor, ChangeFeed } from '../store/change-feed.ts';
import type { Access } from './access.ts';

/** How many changes are kept unless told otherwise: a server that missed more is faster to load everything. */
export const KEPT_CHANGES = 100_000;

/** Called inside the transaction of the write. */
export interface ChangeLog {
  /** Notes a change of each, in any order. @returns the number of the last one; 0 for no names */
  note(of: Change['of'], names: readonly string[]): number;
}

/** How the feed reads what has a name now; undefined: nothing. */
export type Readers = { readonly [Of in Change['of']]: (name: string) => Extract<Change, { of: Of }>['now'] };

/** @param kept how many changes are kept, the newest */
export function changeLog({ db }: Access, kept: number): ChangeLog {
  const insert = db.prepare<[Change['of'], string]>(
    'INSERT INTO changes (concern, name) SELECT ?, value FROM json_each(?)',
  );
  const forget = db.prepare<[number]>('DELETE FROM changes WHERE sequence <= ?');
  return {
    note: (of, names) => {
      if (names.length === 0) return 0;
      const last = Number(insert.run(of, JSON.stringify(names)).lastInsertRowid);
      forget.run(last - kept);
      return last;
    },
  };
}

export function changeFeed({ db, read }: Access, readers: Readers): ChangeFeed {
  const last = db.prepare<[], number>("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").pluck();
  const oldest = db.prepare<[], number | null>('SELECT min(sequence) FROM changes').pluck();
  const after = db.prepare<[number, number], { sequence: number; of: Change['of']; name: string }>(
    'SELECT sequence, concern AS "of", name FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?',
  );
  const newest = () => last.get() ?? 0;
  const changeOf = (of: Change['of'], name: string): Change => ({ of, name, now: readers[of](name) }) as Change;

  return {
    cursor: async () => read(() => String(newest())),
    changesSince: async (cursor, limit) =>
      read(() => {
        const since = readCursor(cursor);
        const end = newest();
        if (since === undefined || since > end || since < (oldest.get() ?? end + 1) - 1) return 'reload';
        const rows = after.all(since, limit);
        // A Map keeps the place of the first; deleting before setting moves it to the last.
        const lastOf = new Map<string, { of: Change['of']; name: string }>();
        for (const { of, name } of rows) {
          const key = `${of} ${name}`;
          lastOf.delete(key);
          lastOf.set(key, { of, name });
        }
        const reached = rows.at(-1)?.sequence ?? since;
        return {
          changes: [...lastOf.values()].map(({ of, name }) => changeOf(of, name)),
          cursor: String(reached),
          more: reached < end,
        };
      }),
  };
}

/** Undefined for what no feed of SQLite's gave. */
function readCursor(cursor: ChangeCursor): number | undefined {
  return /^\d{1,15}$/.test(cursor) ? Number(cursor) : undefined;
}
