/**
 * The table of changes: each write adds rows with the concern and the name, in the same transaction. Row numbers follow
 * the order of commits, because SQLite has one writer at a time. A number is never reused (AUTOINCREMENT).
 */

import type { ChangeCursor, ChangeFeed, StoreChange } from '../store/change-feed.ts';
import type { Access } from './access.ts';

/** Default number of kept changes; a server that missed more loads everything faster. */
export const KEPT_CHANGES = 100_000;

/** Called inside the transaction of the write. */
export interface ChangeLog {
  /** Records a change for each name, in any order. @returns the number of the last one; 0 without names */
  note(of: StoreChange['of'], names: readonly string[]): number;
}

/** Functions that return the present value for a name; undefined if there is none. */
export type ValueReaders = {
  readonly [Of in StoreChange['of']]: (name: string) => Extract<StoreChange, { of: Of }>['now'];
};

/** @param kept number of changes to keep, the newest */
export function changeLog({ db }: Access, kept: number): ChangeLog {
  const insert = db.prepare<[StoreChange['of'], string]>(
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

export function changeFeed({ db, read }: Access, readers: ValueReaders): ChangeFeed {
  const last = db.prepare<[], number>("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").pluck();
  const oldest = db.prepare<[], number | null>('SELECT min(sequence) FROM changes').pluck();
  const after = db.prepare<[number, number], { sequence: number; of: StoreChange['of']; name: string }>(
    'SELECT sequence, concern AS "of", name FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?',
  );
  const newest = () => last.get() ?? 0;
  const changeOf = (of: StoreChange['of'], name: string): StoreChange =>
    ({ of, name, now: readers[of](name) }) as StoreChange;

  return {
    cursor: async () => read(() => String(newest())),
    changesSince: async (cursor, limit) =>
      read(() => {
        const since = readCursor(cursor);
        const end = newest();
        if (since === undefined || since > end || since < (oldest.get() ?? end + 1) - 1) return 'reload';
        const rows = after.all(since, limit);
        // A Map keeps the first position of a key; deleting it first moves it to the end.
        const lastOf = new Map<string, { of: StoreChange['of']; name: string }>();
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

/** Undefined for a cursor that this feed cannot have returned. */
function readCursor(cursor: ChangeCursor): number | undefined {
  return /^\d{1,15}$/.test(cursor) ? Number(cursor) : undefined;
}
