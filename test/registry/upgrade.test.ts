/** Databases of other versions, migrations that fail, databases of backups, and copies of a live database. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Sqlite from 'better-sqlite3';
import { version } from '../../src/base/version.ts';
import { MIGRATIONS, migrate } from '../../src/registry/sqlite/migrations.ts';
import { checkDatabase } from '../../src/registry/sqlite/restored-database.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { parseTrustDomain } from '../../src/spiffe/index.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';

const trustDomain = parseTrustDomain('ilinux.io');
const LATEST = MIGRATIONS.length;
const NEXT = 'CREATE TABLE later (name TEXT PRIMARY KEY) STRICT;';

/** The file of a database with so many issuances, closed. */
async function database(t: TestContext, issuances = 0, dir = tempDir(t)): Promise<string> {
  const file = path.join(dir, 'sidekey.db');
  const store = openSqliteStore({ path: file, trustDomain });
  await store.issuances.recordIssuances(Array.from({ length: issuances }, (_, i) => issuance(i)));
  await store.close();
  return file;
}

function issuance(i: number) {
  const base = { kind: 'x509' as const, entryId: 'e', authorityId: 'a', notBefore: 0, notAfter: 1, issuedAt: i };
  return { serial: String(i), spiffeId: 'spiffe://ilinux.io/web', ...base };
}

/** Everything in the database, as SQLite says it. */
function contentsOf(file: string): unknown {
  const db = new Sqlite(file, { readonly: true });
  try {
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
    const rows = tables.map((table) => [table, db.prepare(`SELECT * FROM ${table}`).all()]);
    return [db.pragma('user_version'), db.prepare('SELECT * FROM sqlite_schema').all(), rows];
  } finally {
    db.close();
  }
}

describe('a database of another version', () => {
  it('that is newer is refused: the message names both versions and what to do, and nothing changes', async (t) => {
    const file = await database(t);
    const newer = openSqliteStore({ path: file, trustDomain, migrations: [...MIGRATIONS, NEXT] });
    await newer.close();
    const before = contentsOf(file);
    assert.throws(
      () => openSqliteStore({ path: file, trustDomain }),
      (error: Error) => {
        assert.ok(error.message.includes(`schema version ${LATEST + 1}, which a newer Sidekey made (${version()})`));
        assert.ok(error.message.includes(`this one, ${version()}, supports versions up to ${LATEST}`));
        assert.match(error.message, /run Sidekey .* or a newer one. To go back, restore a backup .*: sidekey restore/);
        return true;
      },
    );
    assert.deepEqual(contentsOf(file), before);
  });

  it('that is older is migrated, which is told once', async (t) => {
    const file = await database(t, 3);
    const migrated: number[][] = [];
    for (let i = 0; i < 2; i += 1) {
      const onMigrated = (...versions: number[]) => migrated.push(versions);
      await openSqliteStore({ path: file, trustDomain, migrations: [...MIGRATIONS, NEXT], onMigrated }).close();
    }
    assert.deepEqual(migrated, [[LATEST, LATEST + 1]]);
  });
});

describe('a migration that fails', () => {
  for (const [what, migration] of [
    ['throws in its middle', `${NEXT} INSERT INTO later VALUES ('x'); INSERT INTO later VALUES ('x');`],
    ['has an error in its SQL', `${NEXT} UPDATE entries SET nothing = 1;`],
  ] as const) {
    it(`since it ${what} leaves the former database, with which the former Sidekey goes on`, async (t) => {
      const file = await database(t, 5);
      const before = contentsOf(file);
      // The one before it succeeds, and is undone too.
      const migrations = [...MIGRATIONS, 'ALTER TABLE aliases ADD COLUMN more TEXT;', migration];
      assert.throws(
        () => openSqliteStore({ path: file, trustDomain, migrations }),
        new RegExp(`from schema version ${LATEST} to ${LATEST + 2}, and nothing in it was changed`),
      );
      assert.deepEqual(contentsOf(file), before);
      const store = openSqliteStore({ path: file, trustDomain });
      assert.equal((await store.issuances.newest({ limit: 10 })).length, 5);
      await store.close();
    });
  }

  it('on a full disk leaves the former database', { skip: whyNoSmallDisk() ?? false }, async (t) => {
    const disk = makeSmallDisk(t, 4096);
    const file = await database(t, 5_000, disk.directory);
    const before = contentsOf(file);
    disk.fill(128 * 1024);
    const migrations = [...MIGRATIONS, 'CREATE TABLE more AS SELECT serial || spiffe_id AS text FROM issuances;'];
    assert.throws(() => openSqliteStore({ path: file, trustDomain, migrations }), /nothing in it was changed: .*full/);
    disk.free();
    assert.deepEqual(contentsOf(file), before);
    await openSqliteStore({ path: file, trustDomain, migrations }).close();
  });
});

describe('the database of a backup', () => {
  const FORGED: Record<string, readonly [sql: string, RegExp]> = {
    'a trigger': [
      'CREATE TRIGGER evil AFTER INSERT ON issuances BEGIN DELETE FROM entries; END',
      /a schema that Sidekey did not make: the trigger evil/,
    ],
    'a view': ['CREATE VIEW evil AS SELECT 1', /the view evil/],
    'another table': ['CREATE TABLE evil (a)', /the table evil/],
    'a missing index': ['DROP INDEX entries_by_similarity', /the index entries_by_similarity is missing/],
    'a changed table': ['ALTER TABLE aliases ADD COLUMN evil TEXT', /the table aliases/],
    'a newer version': [`PRAGMA user_version = ${LATEST + 1}`, /which a newer Sidekey made/],
    'an older version than its tables': ['PRAGMA user_version = 1', /schema that Sidekey did not make/],
    'no version': ['PRAGMA user_version = 0', /has no schema/],
    'another application': ['PRAGMA application_id = 1', /is not a database of Sidekey/],
    'another trust domain': [
      "UPDATE meta SET value = 'evil.test' WHERE key = 'trust_domain'",
      /of the trust domain evil/,
    ],
    'no trust domain': ["DELETE FROM meta WHERE key = 'trust_domain'", /of the trust domain \(none\)/],
  };
  for (const [what, [sql, message]] of Object.entries(FORGED)) {
    it(`with ${what} is refused`, async (t) => {
      const file = await database(t);
      checkDatabase(file, trustDomain);
      const db = new Sqlite(file);
      db.exec(sql);
      db.close();
      assert.throws(() => checkDatabase(file, trustDomain), message);
    });
  }

  it('of each earlier version is accepted', async (t) => {
    for (let upTo = 1; upTo <= LATEST; upTo += 1) {
      const file = path.join(tempDir(t), 'sidekey.db');
      const db = new Sqlite(file);
      migrate(db, MIGRATIONS.slice(0, upTo));
      db.prepare("INSERT INTO meta VALUES ('trust_domain', ?)").run(trustDomain);
      db.close();
      checkDatabase(file, trustDomain);
    }
  });

  it('that is damaged in its structure is refused', async (t) => {
    const file = await database(t, 400);
    const bytes = readFileSync(file);
    const copy = path.join(tempDir(t), 'sidekey.db');
    // The header of each page. Changed values of rows are found by the digests of the archive.
    for (let page = 0; page < bytes.length; page += 4096) {
      const changed = Buffer.from(bytes);
      changed[page === 0 ? 100 : page]! ^= 0xff;
      writeFileSync(copy, changed);
      assert.throws(
        () => checkDatabase(copy, trustDomain),
        /ERR_STORE|damaged|malformed|schema/,
        `page ${page / 4096}`,
      );
    }
    writeFileSync(copy, bytes.subarray(0, bytes.length - 4096));
    assert.throws(() => checkDatabase(copy, trustDomain), /damaged/);
    writeFileSync(copy, 'no database');
    assert.throws(() => checkDatabase(copy, trustDomain), /damaged/);
  });
});

describe('a copy of a live database', () => {
  it('has the state of its moment, although writes go on', async (t) => {
    const dir = tempDir(t);
    const file = await database(t, 20_000, dir);
    const store = openSqliteStore({ path: file, trustDomain });
    t.after(() => store.close());
    const to = path.join(dir, 'copy.db');
    let written = 20_000;
    let atMoment = 0;
    const onFixed = () => {
      atMoment = written;
    };
    let isDone = false;
    const copying = store.snapshot(to, onFixed, new AbortController().signal).finally(() => {
      isDone = true;
    });
    let longest = 0;
    while (!isDone) {
      const began = performance.now();
      await store.issuances.recordIssuances([issuance(written)]);
      written += 1;
      await new Promise((resolve) => setImmediate(resolve));
      longest = Math.max(longest, performance.now() - began);
    }
    await copying;
    const count = (name: string) => {
      const db = new Sqlite(name, { readonly: true });
      const rows = db.prepare('SELECT count(*) FROM issuances').pluck().get();
      db.close();
      return rows;
    };
    assert.equal(count(to), atMoment);
    assert.ok(written > atMoment, 'nothing was written during the copy');
    assert.equal(statSync(to).mode & 0o7777, 0o600);
    checkDatabase(to, trustDomain);
    t.diagnostic(`longest turn with a write: ${longest.toFixed(1)} ms`);
  });

  it('leaves no file if it is stopped, if its moment fails, or if the place is taken', async (t) => {
    const dir = tempDir(t);
    const file = await database(t, 20_000, dir);
    const store = openSqliteStore({ path: file, trustDomain });
    t.after(() => store.close());
    const to = path.join(dir, 'copy.db');
    const stop = new AbortController();
    await assert.rejects(
      store.snapshot(to, () => stop.abort(new Error('stopped by the test')), stop.signal),
      /stopped by the test/,
    );
    assert.ok(!existsSync(to));
    const failing = () => {
      throw new Error('no moment');
    };
    await assert.rejects(store.snapshot(to, failing, new AbortController().signal), /no moment/);
    assert.ok(!existsSync(to));
    await assert.rejects(
      store.snapshot('/nonexistent/copy.db', () => undefined, new AbortController().signal),
      /could not be copied/,
    );
  });
});
