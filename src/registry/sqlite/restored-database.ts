/** Checks a database from a backup, which may be damaged or made by somebody else, before Sidekey uses it. */

import { existsSync, rmSync } from 'node:fs';
import Sqlite, { type Database } from 'better-sqlite3';
import { SidekeyError } from '../../base/index.ts';
import { storeError } from './access.ts';
import { APPLICATION_ID, MIGRATIONS, migrate, newerDatabase, schemaVersion } from './migrations.ts';

/**
 * Checks that the file is a registry of this or an earlier version, for this trust domain, with exactly the tables,
 * indices and triggers that Sidekey makes, and without damage.
 * @throws ERR_STORE
 */
export function checkDatabase(file: string, trustDomain: string): void {
  let db: Database | undefined;
  try {
    db = new Sqlite(file, { fileMustExist: true });
    // Before anything is read: expressions in the schema may call no function that has effects.
    db.pragma('trusted_schema = OFF');
    db.pragma('cell_size_check = ON');
    check(db, file, trustDomain);
  } catch (thrown) {
    throw storeError(thrown, file, 'checked');
  } finally {
    db?.close();
  }
}

function check(db: Database, file: string, trustDomain: string): void {
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID) throw bad(file, 'is not a database of Sidekey');
  const version = schemaVersion(db);
  if (version > MIGRATIONS.length) throw newerDatabase(db, file);
  if (version < 1) throw bad(file, 'has no schema');
  const different = differenceOf(objectsOf(db), expectedObjects(version));
  if (different !== undefined) throw bad(file, `has a schema that Sidekey did not make: ${different}`);
  const problem = db.pragma('integrity_check(1)', { simple: true });
  if (problem !== 'ok') throw bad(file, `is damaged: ${String(problem)}`);
  const row = db.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").get() as { value: string } | undefined;
  if (row?.value !== trustDomain)
    throw bad(file, `is of the trust domain ${row?.value ?? '(none)'}, not ${trustDomain}`);
}

/** The trust domain of a database that is not in use; undefined if that cannot be read. The database does not change. */
export function trustDomainIn(file: string): string | undefined {
  const beside = [`${file}-wal`, `${file}-shm`];
  const isClosed = !beside.some((one) => existsSync(one));
  let db: Database | undefined;
  try {
    db = new Sqlite(file, { fileMustExist: true, readonly: true });
    return db.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").pluck().get() as string | undefined;
  } catch {
    return undefined;
  } finally {
    db?.close();
    // SQLite makes them for each reader, and a reader does not remove them.
    if (isClosed) for (const one of beside) rmSync(one, { force: true });
  }
}

/** The definition of each object of the schema, by type and name. */
type Objects = ReadonlyMap<string, string>;

function objectsOf(db: Database): Objects {
  const rows = db.prepare('SELECT type, name, sql FROM sqlite_schema').all() as Record<string, string | null>[];
  // A name that occurs twice differs from the expected one.
  const objects = new Map<string, string>();
  for (const { type, name, sql } of rows) {
    const key = `${type} ${name}`;
    objects.set(key, objects.has(key) ? '(twice)' : (sql ?? ''));
  }
  return objects;
}

/** The schema of this version, as its migrations make it. */
function expectedObjects(version: number): Objects {
  const db = new Sqlite(':memory:');
  try {
    migrate(db, MIGRATIONS.slice(0, version));
    return objectsOf(db);
  } finally {
    db.close();
  }
}

function differenceOf(found: Objects, expected: Objects): string | undefined {
  for (const [name, sql] of found) if (expected.get(name) !== sql) return `the ${name}`;
  for (const name of expected.keys()) if (!found.has(name)) return `the ${name} is missing`;
  return undefined;
}

function bad(file: string, problem: string): SidekeyError {
  return new SidekeyError('ERR_STORE', `${file} ${problem}: use another backup`);
}
