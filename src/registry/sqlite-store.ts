/** The registry's store in one SQLite file: write-ahead log, every commit on disk before it is answered. */

import { accessSync, closeSync, constants, fchmodSync, fsyncSync, lstatSync, openSync } from 'node:fs';
import path from 'node:path';
import Sqlite, { type Database, type Statement } from 'better-sqlite3';
import { SidekeyError } from '../base/errors.ts';
import type { IssuanceRecord } from '../base/issuance.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import { decisionStore } from './decision-rows.ts';
import { ENTRY_COLUMNS, type EntryRow, fromRow, toRow } from './entry-row.ts';
import { APPLICATION_ID, MIGRATIONS, migrate, schemaVersion } from './migrations.ts';
import { aliasStore, bundleStore, type Guard, RowError } from './named-rows.ts';
import type { Entry, RegistryStore, StoreWrite } from './types.ts';

/** How long a write waits for another program that holds the database's lock, in milliseconds; the event loop waits too. */
const BUSY_TIMEOUT_MS = 1_000;

/**
 * Opens the database at `path`, or makes it (mode 0600, in a directory that exists). That nobody else may read an
 * existing one is the data directory's own check.
 *
 * @throws {SidekeyError} ERR_STORE when the file is damaged, not a registry, from a newer Sidekey or of another trust
 *   domain
 */
export function openSqliteStore(options: { path: string; trustDomain: TrustDomain }): RegistryStore {
  const file = options.path;
  let db: Database | undefined;
  try {
    createPrivately(file);
    db = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS, fileMustExist: true });
    prepare(db, file, options.trustDomain);
    return new SqliteStore(db, file, options.trustDomain);
  } catch (thrown) {
    db?.close();
    throw storeError(thrown, file, 'opened');
  }
}

/** Makes the file with its mode before SQLite writes to it: SQLite gives -wal and -shm the mode of their database. */
function createPrivately(file: string): void {
  for (const name of [file, `${file}-wal`, `${file}-shm`, `${file}-journal`]) {
    const stats = lstatSync(name, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    // SQLite opens by name and follows links.
    if (!stats.isFile() || stats.nlink > 1) {
      throw new Error(`${name} is a link or not a regular file: move it away and restore it from a backup`);
    }
    // SQLite would open it all the same, and leave a log and an index behind that can't be written either.
    accessSync(name, constants.R_OK | constants.W_OK);
  }
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    const fd = openSync(file, flags, 0o600);
    fchmodSync(fd, 0o600);
    closeSync(fd);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw thrown;
  }
  const directory = openSync(path.dirname(file), constants.O_RDONLY);
  fsyncSync(directory);
  closeSync(directory);
}

function prepare(db: Database, file: string, trustDomain: TrustDomain): void {
  const version = schemaVersion(db);
  if (version > MIGRATIONS.length) {
    throw new SidekeyError(
      'ERR_STORE',
      `${file} has schema version ${version}, which a newer Sidekey made; this one knows versions up to ${MIGRATIONS.length}: run the newer one, or restore the copy from before the upgrade`,
    );
  }
  const isNew = version === 0 && db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (!isNew && db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw new SidekeyError('ERR_STORE', `${file} is another program's SQLite database; choose another data directory`);
  }
  if (!isNew) checkTrustDomain(db, file, trustDomain);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  // Each transaction waits for the disk; a new file takes all of its steps in one.
  db.transaction(() => {
    migrate(db);
    db.prepare("INSERT INTO meta VALUES ('trust_domain', ?) ON CONFLICT DO NOTHING").run(trustDomain);
  }).immediate();
  // Not the issuances, which may be many; these are read whole in a moment anyway.
  for (const table of ['entries', 'federated_bundles', 'aliases']) {
    const result = db.pragma(`quick_check(${table})`, { simple: true });
    if (result !== 'ok') throw damaged(file, String(result));
  }
}

function checkTrustDomain(db: Database, file: string, trustDomain: TrustDomain): void {
  const row = db.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").get() as { value: string } | undefined;
  if (row === undefined || row.value === trustDomain) return;
  throw new SidekeyError(
    'ERR_STORE',
    `${file} belongs to the trust domain ${row.value}, not ${trustDomain}: give --trust-domain ${row.value}, or another data directory`,
  );
}

class SqliteStore implements RegistryStore {
  readonly bundles: RegistryStore['bundles'];
  readonly aliases: RegistryStore['aliases'];
  readonly decisions: RegistryStore['decisions'];
  readonly #db: Database;
  readonly #file: string;
  readonly #trustDomain: TrustDomain;
  readonly #put: Statement<[EntryRow]>;
  readonly #delete: Statement<[string]>;
  readonly #record: Statement<[IssuanceRecord]>;

  constructor(db: Database, file: string, trustDomain: TrustDomain) {
    this.#db = db;
    this.#file = file;
    this.#trustDomain = trustDomain;
    const values = ENTRY_COLUMNS.map((name) => `@${name}`);
    this.#put = db.prepare(
      `INSERT OR REPLACE INTO entries (${ENTRY_COLUMNS.join(', ')}) VALUES (${values.join(', ')})`,
    );
    const guard: Guard = (what, work) => this.#guard(what, work);
    this.bundles = bundleStore(db, guard, trustDomain);
    this.aliases = aliasStore(db, guard, trustDomain);
    this.decisions = decisionStore(db, guard);
    this.#delete = db.prepare('DELETE FROM entries WHERE id = ?');
    this.#record = db.prepare(`
      INSERT INTO issuances (serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
      VALUES (@serial, @spiffeId, @entryId, @authorityId, @notBefore, @notAfter, @issuedAt)`);
  }

  async load(): Promise<Entry[]> {
    return this.#guard('read', () => {
      const rows = this.#db.prepare('SELECT * FROM entries').all() as EntryRow[];
      return rows.map((row) => {
        try {
          return fromRow(row, this.#trustDomain);
        } catch (thrown) {
          throw damaged(this.#file, `entry ${row.id}: ${(thrown as Error).message}`, thrown);
        }
      });
    });
  }

  async write(write: StoreWrite): Promise<void> {
    this.#transaction(() => {
      for (const id of write.delete) this.#delete.run(id);
      for (const entry of write.put) this.#put.run(toRow(entry));
    });
  }

  async recordIssuances(records: readonly IssuanceRecord[]): Promise<void> {
    this.#transaction(() => {
      for (const record of records) this.#record.run(record);
    });
  }

  async issuances(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]> {
    const columns = `serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
      not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt`;
    const where = query.spiffeId === undefined ? '' : 'WHERE spiffe_id = @spiffeId';
    const select = `SELECT ${columns} FROM issuances ${where} ORDER BY sequence DESC LIMIT @limit`;
    return this.#guard('read', () => this.#db.prepare(select).all(query) as IssuanceRecord[]);
  }

  async issuedOf(spiffeIds: readonly string[]): Promise<Set<string>> {
    const issued = this.#db.prepare('SELECT 1 FROM issuances WHERE spiffe_id = ? LIMIT 1');
    return this.#guard('read', () => new Set(spiffeIds.filter((id) => issued.get(id) !== undefined)));
  }

  async close(): Promise<void> {
    this.#guard('closed', () => this.#db.close());
  }

  #transaction(work: () => void): void {
    this.#guard('written', () => this.#db.transaction(work).immediate());
  }

  #guard<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (thrown) {
      throw storeError(thrown, this.#file, what);
    }
  }
}

function damaged(file: string, detail: string, cause?: unknown): SidekeyError {
  return new SidekeyError(
    'ERR_STORE',
    `${file} is damaged (${detail}): keep a copy of it and its -wal file, then restore a backup, or move them away to start with no entries`,
    { cause },
  );
}

function storeError(thrown: unknown, file: string, what: string): SidekeyError {
  if (thrown instanceof SidekeyError) return thrown;
  if (thrown instanceof RowError) return damaged(file, thrown.message, thrown);
  const { code, message } = thrown as Error & { code?: string };
  if (code?.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return damaged(file, message, thrown);
  // A full disk has many names: SQLITE_IOERR_SHMSIZE is one.
  const detail = code?.startsWith('SQLITE_IOERR') ? `${message} (${code})` : message;
  return new SidekeyError('ERR_STORE', `${file} could not be ${what}: ${detail}`, { cause: thrown });
}
