/** The store in one SQLite file, with a write-ahead log. Every commit is on disk before its promise resolves. */

import Sqlite, { type Database } from 'better-sqlite3';
import { SERVER } from '../../audit/index.ts';
import { SidekeyError } from '../../base/index.ts';
import type { TrustDomain } from '../../spiffe/index.ts';
import type { Store } from '../store/store.ts';
import type { StoreTimes } from '../store/store-times.ts';
import { accessTo, damaged, storeError } from './access.ts';
import { agentTable, joinTokenTable } from './agent-tables.ts';
import { aliasTable } from './alias-table.ts';
import { auditTable } from './audit-table.ts';
import { bundleTable } from './bundle-table.ts';
import { changeFeed, changeLog, KEPT_CHANGES } from './change-table.ts';
import { createPrivately } from './database-file.ts';
import { decisionTable } from './decision-table.ts';
import { entryTable } from './entry-table.ts';
import { issuanceTable } from './issuance-table.ts';
import { APPLICATION_ID, MIGRATIONS, migrate, newerDatabase, noteSchemaMaker, schemaVersion } from './migrations.ts';
import { relationshipTable } from './relationship-table.ts';
import { revocationTable } from './revocation-table.ts';
import { snapshotDatabase } from './snapshot.ts';
import { tokenTable } from './token-table.ts';

/** How long a write waits for a lock that another program holds, in milliseconds. It blocks the event loop. */
const BUSY_TIMEOUT_MS = 1_000;

export interface SqliteStoreOptions {
  readonly path: string;
  readonly trustDomain: TrustDomain;
  /** Number of changes that the feed keeps, at least 1; default {@link KEPT_CHANGES}. */
  readonly keptChanges?: number;
  /** Called with the schema versions before and after, if an existing database was migrated. */
  readonly onMigrated?: (from: number, to: number) => void;
  /** By default {@link MIGRATIONS}. */
  readonly migrations?: readonly string[];
  readonly times?: StoreTimes | undefined;
}

/**
 * Opens the database at `path`, or creates it (mode 0600, in an existing directory). The data directory's checks ensure
 * that no other user can read an existing one.
 *
 * @throws {SidekeyError} ERR_STORE if the file is damaged, not a registry, from a newer Sidekey or of another trust
 * domain
 */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const file = options.path;
  let db: Database | undefined;
  try {
    createPrivately(file);
    db = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS, fileMustExist: true });
    prepare(db, file, options);
    return storeOf(db, options);
  } catch (thrown) {
    db?.close();
    throw storeError(thrown, file, 'opened');
  }
}

function prepare(db: Database, file: string, options: SqliteStoreOptions): void {
  const { trustDomain, migrations = MIGRATIONS, onMigrated } = options;
  const version = schemaVersion(db);
  if (version > migrations.length) throw newerDatabase(db, file, migrations.length);
  const isNew = version === 0 && db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (!isNew && db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw new SidekeyError('ERR_STORE', `${file} is another program's SQLite database; choose another data directory`);
  }
  if (!isNew) checkTrustDomain(db, file, trustDomain);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  try {
    // One transaction: a failure in any of the migrations leaves the database as it was.
    db.transaction(() => {
      migrate(db, migrations);
      if (version < migrations.length) noteSchemaMaker(db);
      db.prepare("INSERT INTO meta VALUES ('trust_domain', ?) ON CONFLICT DO NOTHING").run(trustDomain);
      beginAudit(db, file);
    }).immediate();
  } catch (thrown) {
    throw version === 0 || version === migrations.length ? thrown : failedMigration(thrown, file, version, migrations);
  }
  if (version > 0 && version < migrations.length) onMigrated?.(version, migrations.length);
  // Not the issuances, which may be many.
  for (const table of [
    'entries',
    'federated_bundles',
    'aliases',
    'tokens',
    'relationships',
    'agents',
    'join_tokens',
    'revocations',
    'changes',
  ]) {
    const result = db.pragma(`quick_check(${table})`, { simple: true });
    if (result !== 'ok') throw damaged(file, String(result));
  }
}

/** Adds the first row of the audit, inside the caller's transaction, if there is none. */
function beginAudit(db: Database, file: string): void {
  if (db.prepare('SELECT 1 FROM audit LIMIT 1').get() !== undefined) return;
  const before = db.prepare<[], number | null>('SELECT max(sequence) FROM issuances').pluck().get() ?? 0;
  const detail = { issuances_before: before };
  auditTable(accessTo(db, file)).log.add([{ at: Date.now(), action: 'audit.started', by: SERVER, detail }]);
}

function failedMigration(cause: unknown, file: string, from: number, migrations: readonly string[]): SidekeyError {
  return new SidekeyError(
    'ERR_STORE',
    `${file} could not be migrated from schema version ${from} to ${migrations.length}, and nothing in it was changed: ${(cause as Error).message}; remove the cause and start again, or run the former Sidekey`,
    { cause },
  );
}

function checkTrustDomain(db: Database, file: string, trustDomain: TrustDomain): void {
  const row = db.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").get() as { value: string } | undefined;
  if (row === undefined || row.value === trustDomain) return;
  throw new SidekeyError(
    'ERR_STORE',
    `${file} belongs to the trust domain ${row.value}, not ${trustDomain}: give --trust-domain ${row.value}, or another data directory`,
  );
}

function storeOf(db: Database, { path, trustDomain, times, keptChanges = KEPT_CHANGES }: SqliteStoreOptions): Store {
  const access = accessTo(db, path, times);
  const audit = auditTable(access);
  const logs = { changes: changeLog(access, keptChanges), audit: audit.log };
  const entries = entryTable(access, logs, trustDomain);
  const bundles = bundleTable(access, logs, trustDomain);
  const aliases = aliasTable(access, logs, trustDomain);
  const tokens = tokenTable(access, logs);
  const relationships = relationshipTable(access, logs, trustDomain);
  const agents = agentTable(access, logs, trustDomain);
  const joinTokens = joinTokenTable(access, logs, trustDomain);
  const revocations = revocationTable(access, logs);
  return {
    entries: entries.store,
    bundles: bundles.store,
    aliases: aliases.store,
    tokens: tokens.store,
    relationships: relationships.store,
    agents: {
      ...agents.store,
      join: async (agent, replaces, used, events) =>
        access.write(() => {
          const revision = agents.put(agent, replaces, events);
          joinTokens.delete(used.hash, used.revision, used.events);
          return revision;
        }),
    },
    joinTokens: joinTokens.store,
    revocations: revocations.store,
    issuances: issuanceTable(access, audit.log),
    decisions: decisionTable(access),
    audit: audit.store,
    changes: changeFeed(access, {
      entry: entries.get,
      bundle: bundles.get,
      alias: aliases.get,
      token: tokens.get,
      relationship: relationships.get,
      agent: agents.get,
      'join token': joinTokens.get,
      revocation: revocations.get,
    }),
    snapshot: (to, onFixed, signal) => snapshotDatabase(path, to, onFixed, signal),
    close: async () => access.close(),
  };
}
