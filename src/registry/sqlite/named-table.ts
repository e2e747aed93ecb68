/** A table of named objects; the common part of the tables of bundles and aliases. */

import type { AuditEvent } from '../../audit/index.ts';
import type { StoreChange } from '../store/change-feed.ts';
import { noSuchName, staleName } from '../store/conflict.ts';
import type { NamedStore, Revisioned } from '../store/named-store.ts';
import { type Access, RowError } from './access.ts';
import type { Logs } from './logs.ts';

export interface NamedTableParts<T, Row> {
  readonly table: string;
  /** The first is the name. The column `revision`, which every such table has, is not included. */
  readonly columns: readonly (keyof Row & string)[];
  /** The noun in messages and in the change feed. */
  readonly what: Exclude<StoreChange['of'], 'entry' | 'revocation'>;
  toRow(value: T): Row;
  /** @throws {Error} if the row is invalid, which means that the database was edited by hand */
  fromRow(row: Row): T;
}

export interface NamedTable<T> {
  readonly store: NamedStore<T>;
  /** As the methods of the store, inside a transaction. */
  get(name: string): Revisioned<T> | undefined;
  put(value: T, replaces: number | undefined, events?: readonly AuditEvent[]): number;
  delete(name: string, revision: number, events?: readonly AuditEvent[]): void;
}

/** A revision is the number of the change that created it, since change numbers are never reused. */
export function namedTable<T, Row>(
  { db, read, write }: Access,
  logs: Logs,
  { table, columns, what, toRow, fromRow }: NamedTableParts<T, Row>,
): NamedTable<T> {
  type Stored = Row & { revision: number };
  const key = columns[0]!;
  const stored = [...columns, 'revision'];
  const insert = db.prepare<[Stored]>(
    `INSERT INTO ${table} (${stored.join(', ')}) VALUES (${stored.map((column) => `@${column}`).join(', ')})`,
  );
  const removeRow = db.prepare<[string]>(`DELETE FROM ${table} WHERE ${key} = ?`);
  const all = db.prepare<[], Stored>(`SELECT ${stored.join(', ')} FROM ${table}`);
  const one = db.prepare<[string], Stored>(`SELECT ${stored.join(', ')} FROM ${table} WHERE ${key} = ?`);

  const versioned = (row: Stored): Revisioned<T> => {
    try {
      return { value: fromRow(row), revision: row.revision };
    } catch (thrown) {
      throw new RowError(`${table}, ${String(row[key])}: ${(thrown as Error).message}`, { cause: thrown });
    }
  };
  /** Deletes the object if it has this revision; with undefined, checks that the name is free. Throws on a conflict. */
  const removeRevision = (name: string, given: number | undefined): void => {
    const present = one.get(name)?.revision;
    if (present !== given)
      throw present === undefined ? noSuchName(what, name) : staleName(what, name, { present, given });
    if (given !== undefined) removeRow.run(name);
  };

  const put: NamedTable<T>['put'] = (value, replaces, events = []) => {
    const row = toRow(value);
    const name = String(row[key]);
    removeRevision(name, replaces);
    const revision = logs.changes.note(what, [name]);
    insert.run({ ...row, revision });
    logs.audit.add(events);
    return revision;
  };
  const remove: NamedTable<T>['delete'] = (name, revision, events = []) => {
    removeRevision(name, revision);
    logs.changes.note(what, [name]);
    logs.audit.add(events);
  };

  return {
    get: (name) => {
      const row = one.get(name);
      return row && versioned(row);
    },
    ...{ put, delete: remove },
    store: {
      load: async () => read(() => all.all().map(versioned)),
      put: async (...given) => write(() => put(...given)),
      delete: async (...given) => write(() => remove(...given)),
    },
  };
}
