/** A table of things that have a name: what the tables of bundles and aliases share. */

import type { NamedStore } from '../store/named-store.ts';
import { type Access, RowError } from './access.ts';

export interface NamedTable<T, Row> {
  readonly name: string;
  /** The first is the name. */
  readonly columns: readonly (keyof Row & string)[];
  toRow(value: T): Row;
  /** @throws {Error} when it is none: someone edited the database, so nothing of it is trusted */
  fromRow(row: Row): T;
}

export function namedTable<T, Row>({ db, read, write }: Access, table: NamedTable<T, Row>): NamedStore<T> {
  const { name, columns } = table;
  const key = columns[0]!;
  const put = db.prepare<[Row]>(
    `INSERT OR REPLACE INTO ${name} (${columns.join(', ')}) VALUES (${columns.map((column) => `@${column}`).join(', ')})`,
  );
  const remove = db.prepare<[string]>(`DELETE FROM ${name} WHERE ${key} = ?`);
  const select = db.prepare<[], Row>(`SELECT ${columns.join(', ')} FROM ${name}`);
  const toValue = (row: Row): T => {
    try {
      return table.fromRow(row);
    } catch (thrown) {
      throw new RowError(`${name}, ${String(row[key])}: ${(thrown as Error).message}`, { cause: thrown });
    }
  };
  return {
    load: async () => read(() => select.all().map(toValue)),
    put: async (value) => write(() => void put.run(table.toRow(value))),
    delete: async (one) => write(() => void remove.run(one)),
  };
}
