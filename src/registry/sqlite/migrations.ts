/**
 * The database schema as a list of migrations; `user_version` is the number of those applied. Released migrations never
 * change; changes are added at the end.
 */

import { hash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { SidekeyError, version } from '../../base/index.ts';

/** Marks a SQLite file as a registry ("SdKy"), so that another program's database is recognised. */
export const APPLICATION_ID = 0x53644b79;

export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT;

  CREATE TABLE entries (
    id              TEXT PRIMARY KEY,
    spiffe_id       TEXT NOT NULL,
    selectors       TEXT NOT NULL CHECK (json_array_length(selectors) > 0),
    parent_id       TEXT NOT NULL,
    x509_svid_ttl   INTEGER NOT NULL CHECK (x509_svid_ttl >= 0),
    jwt_svid_ttl    INTEGER NOT NULL CHECK (jwt_svid_ttl >= 0),
    dns_names       TEXT NOT NULL CHECK (json_type(dns_names) = 'array'),
    federates_with  TEXT NOT NULL CHECK (json_type(federates_with) = 'array'),
    hint            TEXT NOT NULL,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    revision_number INTEGER NOT NULL CHECK (revision_number > 0),
    source          TEXT NOT NULL
  ) STRICT;

  CREATE TABLE issuances (
    sequence     INTEGER PRIMARY KEY,
    serial       TEXT NOT NULL,
    spiffe_id    TEXT NOT NULL,
    entry_id     TEXT NOT NULL,
    authority_id TEXT NOT NULL,
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    issued_at    INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX issuances_by_spiffe_id ON issuances (spiffe_id);
  `,
  `
  CREATE TABLE federated_bundles (
    trust_domain    TEXT PRIMARY KEY,
    pem             TEXT NOT NULL,
    sequence_number INTEGER NOT NULL CHECK (sequence_number >= 0),
    refresh_hint    INTEGER CHECK (refresh_hint >= 0),
    updated_at      INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE aliases (
    host       TEXT PRIMARY KEY,
    spiffe_id  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE decisions (
    sequence  INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    at        INTEGER NOT NULL,
    pid       INTEGER NOT NULL,
    spiffe_id TEXT,
    ended_at  INTEGER,
    record    TEXT NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE decisions ADD COLUMN owner TEXT NOT NULL DEFAULT '';
  CREATE INDEX decisions_by_owner ON decisions (owner, sequence);
  `,
  `
  ALTER TABLE entries ADD COLUMN allow_contained INTEGER NOT NULL DEFAULT 0 CHECK (allow_contained IN (0, 1));
  `,
  // No version created similar entries in one source. If they were created by hand, the later ones get a unique key and
  // stay.
  `
  ALTER TABLE entries ADD COLUMN similarity TEXT NOT NULL DEFAULT '';
  UPDATE entries SET similarity = similarity_1(spiffe_id, parent_id, selectors);
  UPDATE entries SET similarity = similarity || ' ' || id WHERE id IN (
    SELECT id FROM (
      SELECT id, row_number() OVER (PARTITION BY similarity, source ORDER BY created_at, id) AS place FROM entries
    ) WHERE place > 1
  );
  CREATE UNIQUE INDEX entries_by_similarity ON entries (similarity, source);
  `,
  `
  CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    concern  TEXT NOT NULL,
    name     TEXT NOT NULL
  ) STRICT;
  ALTER TABLE federated_bundles ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE aliases ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE federated_bundles ADD COLUMN jwt_authorities TEXT NOT NULL DEFAULT '[]'
    CHECK (json_type(jwt_authorities) = 'array');
  `,
  `
  ALTER TABLE entries ADD COLUMN x509_svid_key_type TEXT NOT NULL DEFAULT '';
  `,
  // Entries may have negative selectors from here on. An earlier version would read them as positive ones, so the new
  // version number keeps it from opening the database.
  'SELECT 1;',
  `
  CREATE TABLE tokens (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE issuances ADD COLUMN kind TEXT NOT NULL DEFAULT 'x509' CHECK (kind IN ('x509', 'jwt'));
  CREATE INDEX issuances_of_tokens ON issuances (not_after) WHERE kind = 'jwt';
  `,
  // Rows are only added at the end; deleted only if a later row says so. See `audit-table.ts`.
  `
  CREATE TABLE audit (
    sequence           INTEGER PRIMARY KEY,
    record             TEXT NOT NULL CHECK (json_valid(record)),
    hash               BLOB NOT NULL CHECK (length(hash) = 32),
    total              INTEGER NOT NULL,
    removed_to         INTEGER CHECK (removed_to < sequence),
    removed_issuances  INTEGER,
    removed_tokens     INTEGER,
    authority_revision INTEGER
  ) STRICT;
  CREATE INDEX audit_removals ON audit (removed_to) WHERE removed_to IS NOT NULL;
  CREATE INDEX audit_token_removals ON audit (removed_tokens) WHERE removed_tokens IS NOT NULL;
  CREATE INDEX audit_authority_revisions ON audit (authority_revision) WHERE authority_revision IS NOT NULL;
  CREATE TRIGGER audit_appends BEFORE INSERT ON audit
    WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit)
    BEGIN SELECT raise(ABORT, 'audit rows are only added at the end'); END;
  CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'audit rows never change'); END;
  CREATE TRIGGER audit_deletes_pruned BEFORE DELETE ON audit
    WHEN OLD.sequence > (SELECT coalesce(max(removed_to), 0) FROM audit WHERE removed_to IS NOT NULL)
    BEGIN SELECT raise(ABORT, 'audit rows are deleted only by pruning'); END;
  CREATE TRIGGER issuances_never_change BEFORE UPDATE ON issuances
    BEGIN SELECT raise(ABORT, 'issuances never change'); END;
  CREATE TRIGGER issuances_deletes_pruned BEFORE DELETE ON issuances
    WHEN OLD.sequence > (
      SELECT coalesce(max(removed_issuances), 0) FROM audit WHERE removed_to IS NOT NULL
    ) AND NOT (OLD.kind = 'jwt' AND OLD.not_after < (
      SELECT coalesce(max(removed_tokens), 0) FROM audit WHERE removed_tokens IS NOT NULL
    ))
    BEGIN SELECT raise(ABORT, 'issuances are deleted only by pruning'); END;
  `,
  // Ends grow, so a new row goes to the end of the index and costs issuance almost nothing. An index of serial numbers or
  // entries would write another page for each issuance.
  `
  CREATE TABLE revocations (
    serial       TEXT PRIMARY KEY,
    authority_id TEXT NOT NULL,
    spiffe_id    TEXT NOT NULL,
    entry_id     TEXT NOT NULL,
    not_after    INTEGER NOT NULL,
    revoked_at   INTEGER NOT NULL,
    reason       TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX issuances_by_end ON issuances (not_after) WHERE kind = 'x509';
  `,
  // Bundles that were set before this version keep their numbers; whether a document stated them is not known.
  `
  ALTER TABLE federated_bundles ADD COLUMN source TEXT NOT NULL DEFAULT 'manual';
  ALTER TABLE federated_bundles ADD COLUMN stated_sequence TEXT;
  CREATE TABLE relationships (
    trust_domain       TEXT PRIMARY KEY,
    url                TEXT NOT NULL,
    profile            TEXT NOT NULL,
    endpoint_spiffe_id TEXT,
    endpoint_ca        TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    revision           INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE agents (
    id               TEXT PRIMARY KEY,
    attestation_type TEXT NOT NULL,
    selectors        TEXT NOT NULL,
    alias            TEXT NOT NULL,
    serial           TEXT NOT NULL,
    not_after        INTEGER NOT NULL,
    new_serial       TEXT NOT NULL,
    new_not_after    INTEGER NOT NULL,
    can_reattest     INTEGER NOT NULL,
    banned           INTEGER NOT NULL,
    version          TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    revision         INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE join_tokens (
    hash       TEXT PRIMARY KEY,
    alias      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

/**
 * The digest of SPIFFE ID, parent and selectors with which the migration filled `entries.similarity`; the same as
 * `entry-table.ts` writes. A changed digest needs a new migration with a function of its own.
 *
 * @param selectors the column's JSON: `[{"type":"unix","value":"uid:1"}]`
 */
function similarity1(spiffeId: string, parentId: string, selectors: string): string {
  const list = JSON.parse(selectors) as ({ type?: unknown; value?: unknown } | null)[];
  const key = [spiffeId, parentId, ...list.map((selector) => `${selector?.type}:${selector?.value}`)];
  return hash('sha256', JSON.stringify(key), 'base64url');
}

/** Number of applied migrations; 0 for a new database. */
export function schemaVersion(db: Database): number {
  return db.pragma('user_version', { simple: true }) as number;
}

/** The refusal of a database with more migrations than this Sidekey knows. */
export function newerDatabase(db: Database, file: string, known: number = MIGRATIONS.length): SidekeyError {
  const maker = schemaMaker(db);
  const newer = maker === undefined ? 'a newer one' : `Sidekey ${maker} or a newer one`;
  return new SidekeyError(
    'ERR_STORE',
    `${file} has schema version ${schemaVersion(db)}, which a newer Sidekey made${maker === undefined ? '' : ` (${maker})`}; this one, ${version()}, supports versions up to ${known}: run ${newer}. To go back, restore a backup from before the upgrade: sidekey restore FILE --replace`,
  );
}

/** Stores which Sidekey applied the last migration, for the refusal by an earlier one. */
export function noteSchemaMaker(db: Database): void {
  db.prepare("INSERT OR REPLACE INTO meta VALUES ('schema_by', ?)").run(version());
}

/** The version of the Sidekey that applied the last migration; undefined if it did not say so. */
function schemaMaker(db: Database): string | undefined {
  try {
    const maker = db.prepare("SELECT value FROM meta WHERE key = 'schema_by'").pluck().get();
    return typeof maker === 'string' && /^[\w.+-]{1,40}$/.test(maker) ? maker : undefined;
  } catch {
    return undefined;
  }
}

/** Applies the missing migrations, each in its own transaction, or all in the caller's. */
export function migrate(db: Database, migrations: readonly string[] = MIGRATIONS): void {
  db.function(
    'similarity_1',
    { deterministic: true, directOnly: true },
    similarity1 as (...given: unknown[]) => string,
  );
  for (let applied = schemaVersion(db); applied < migrations.length; applied += 1) {
    db.transaction(() => {
      db.exec(migrations[applied]!);
      db.pragma(`application_id = ${APPLICATION_ID}`);
      db.pragma(`user_version = ${applied + 1}`);
    }).immediate();
  }
}
