import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import Sqlite from 'better-sqlite3';
import { SidekeyError } from '../../src/base/errors.ts';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import { MIGRATIONS, migrate, schemaVersion } from '../../src/registry/sqlite/migrations.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import type { Store } from '../../src/registry/store/store.ts';
import type { Entry } from '../../src/registry/types.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { input, TRUST_DOMAIN, temporaryDirectory } from './support.ts';

const notNobody = whyNotNobody() ?? false;

function openStore(t: TestContext, file: string, trustDomain = TRUST_DOMAIN): Store {
  const store = openSqliteStore({ path: file, trustDomain });
  t.after(() => store.close());
  return store;
}

function newFile(t: TestContext): string {
  return path.join(temporaryDirectory(t), 'registry.db');
}

function entry(id: string, more: Partial<Entry> = {}): Entry {
  return { ...input(id), id, createdAt: 1, updatedAt: 2, revisionNumber: 1, source: 'api', ...more };
}

function issuance(serial: string, spiffeId: string): IssuanceRecord {
  return { serial, spiffeId, entryId: 'e', authorityId: 'ab', notBefore: 1, notAfter: 2_000_000_000_000, issuedAt: 3 };
}

/** Expects the opening to fail with a message that names the file and says each of these. */
function refuses(file: string, code: string, ...says: RegExp[]): void {
  assert.throws(
    () => openSqliteStore({ path: file, trustDomain: TRUST_DOMAIN }),
    (error) => {
      assert.ok(error instanceof SidekeyError, String(error));
      assert.equal(error.code, code);
      assert.ok(error.message.includes(file), error.message);
      for (const one of says) assert.match(error.message, one);
      return true;
    },
  );
}

/** A database with `count` entries in it, closed: all in one file. */
async function filled(t: TestContext, count: number): Promise<string> {
  const file = newFile(t);
  const store = openSqliteStore({ path: file, trustDomain: TRUST_DOMAIN });
  await store.entries.write({ put: Array.from({ length: count }, (_, at) => entry(`e${at}`)), delete: [] });
  await store.close();
  assert.ok(!existsSync(`${file}-wal`));
  return file;
}

test('an entry comes back as it went in, also from another opening', async (t) => {
  const file = newFile(t);
  const first = openStore(t, file);
  const whole = entry('x', {
    selectors: [
      { type: 'docker', value: 'label:a:é🤯\n"' },
      { type: 'unix', value: 'uid:1' },
    ],
    parentId: 'spiffe://ilinux.io/p',
    x509SvidTtl: 2_147_483_647,
    jwtSvidTtl: 1,
    dnsNames: ['b.org', 'a.org'],
    federatesWith: [parseTrustDomain('z.org'), parseTrustDomain('a.org')],
    hint: "it's; DROP TABLE entries",
    allowContained: true,
    expiresAt: 253_402_300_799_999,
    createdAt: 1_900_000_000_001,
    updatedAt: 1_900_000_000_002,
    revisionNumber: 7,
    source: 'file',
  });
  await first.entries.write({ put: [whole, entry('y')], delete: [] });
  assert.deepEqual(await first.entries.load(), [whole, entry('y')]);
  await first.close();
  assert.deepEqual(await openStore(t, file).entries.load(), [whole, entry('y')]);
});

test('a write puts and deletes in one transaction, or does nothing', async (t) => {
  const store = openStore(t, newFile(t));
  await store.entries.write({ put: [entry('a'), entry('b')], delete: [] });
  await store.entries.write({ put: [entry('a', { hint: 'h' }), entry('c')], delete: ['b', 'not there'] });
  assert.deepEqual(await store.entries.load(), [entry('a', { hint: 'h' }), entry('c')]);
  const broken = entry('d', { x509SvidTtl: -1 });
  await assert.rejects(store.entries.write({ put: [entry('e'), broken], delete: ['a'] }), (error: SidekeyError) => {
    assert.equal(error.code, 'ERR_STORE');
    return true;
  });
  assert.deepEqual(await store.entries.load(), [entry('a', { hint: 'h' }), entry('c')]);
});

test('what is written is in the log on disk before it is answered, and survives a process that is killed', async (t) => {
  const file = newFile(t);
  const store = openStore(t, file);
  await store.entries.write({ put: [entry('a')], delete: [] });
  // The files of a process that never closed them, as a killed one leaves them.
  const copy = newFile(t);
  for (const suffix of ['', '-wal']) copyFileSync(file + suffix, copy + suffix);
  for (const suffix of ['', '-wal']) chmodSync(copy + suffix, 0o600);
  assert.deepEqual(await openStore(t, copy).entries.load(), [entry('a')]);
});

test('the database, its log and its index are 0600, whatever the umask', async (t) => {
  for (const umask of [0o000, 0o022, 0o277]) {
    const file = newFile(t);
    const before = process.umask(umask);
    t.after(() => process.umask(before));
    const store = openStore(t, file);
    await store.entries.write({ put: [entry('a')], delete: [] });
    process.umask(before);
    for (const suffix of ['', '-wal', '-shm']) {
      assert.equal((statSync(file + suffix).mode & 0o777).toString(8), '600', `${suffix} under ${umask.toString(8)}`);
    }
    await store.close();
  }
});

test('a link that leads to nothing is not followed', (t) => {
  const file = newFile(t);
  const elsewhere = path.join(temporaryDirectory(t), 'elsewhere');
  symlinkSync(elsewhere, file);
  refuses(file, 'ERR_STORE', /opened/);
  assert.equal(existsSync(elsewhere), false);
});

test('a directory that is not there is told', (t) => {
  refuses(path.join(temporaryDirectory(t), 'not/there.db'), 'ERR_STORE', /ENOENT/);
});

test('a database of another trust domain is refused, naming both, and left as it is', async (t) => {
  const file = newFile(t);
  const other = openSqliteStore({ path: file, trustDomain: parseTrustDomain('other.org') });
  await other.close();
  const before = readFileSync(file);
  refuses(file, 'ERR_STORE', /other\.org/, /ilinux\.io/);
  assert.deepEqual(readFileSync(file), before);
  await openStore(t, file, parseTrustDomain('other.org')).close();
});

test('a database of a newer Sidekey is refused and left as it is', async (t) => {
  const file = await filled(t, 1);
  const db = new Sqlite(file);
  db.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  db.close();
  const before = readFileSync(file);
  refuses(file, 'ERR_STORE', new RegExp(`version ${MIGRATIONS.length + 1}`), /newer Sidekey/);
  assert.deepEqual(readFileSync(file), before);
});

test("another program's database is refused and left as it is", (t) => {
  const file = newFile(t);
  const db = new Sqlite(file);
  db.exec('CREATE TABLE theirs (x)');
  db.close();
  chmodSync(file, 0o600);
  const before = readFileSync(file);
  refuses(file, 'ERR_STORE', /another program/);
  assert.deepEqual(readFileSync(file), before);
});

test('a file that is no database is refused with what to do', (t) => {
  const file = newFile(t);
  writeFileSync(file, 'this was never a database\n'.repeat(100), { mode: 0o600 });
  refuses(file, 'ERR_STORE', /is damaged/, /restore a backup/);
});

test('a truncated database is refused with what to do', async (t) => {
  const file = await filled(t, 500);
  const { size } = statSync(file);
  for (const left of [size - 4096, Math.floor(size / 2), 4096, 100]) {
    truncateSync(file, left);
    refuses(file, 'ERR_STORE', /is damaged/, /restore a backup/);
  }
});

test('a database with a page of garbage among the entries is refused', async (t) => {
  const file = await filled(t, 500);
  const bytes = readFileSync(file);
  const page = bytes.indexOf('spiffe://ilinux.io/e250') & ~0xfff;
  bytes.fill(0x5a, page, page + 4096);
  writeFileSync(file, bytes);
  refuses(file, 'ERR_STORE', /is damaged/);
});

test('a database or a directory that may not be written is refused, and left as it is', {
  skip: notNobody,
}, async (t) => {
  const file = await filled(t, 1);
  const directory = path.dirname(file);
  for (const one of [file, directory]) chownSync(one, NOBODY, NOBODY);
  const before = readFileSync(file);
  const open = `
    import { openSqliteStore } from 'src/registry/sqlite/sqlite-store.ts';
    try {
      await openSqliteStore({ path: ${JSON.stringify(file)}, trustDomain: '${TRUST_DOMAIN}' }).close();
      console.log('open');
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  chmodSync(file, 0o400);
  assert.match(
    await runChild(t, open, NOBODY).firstLine,
    /^ERR_STORE .* could not be opened: EACCES: .*registry\.db'$/,
  );
  chmodSync(file, 0o600);
  chmodSync(directory, 0o500);
  assert.match(await runChild(t, open, NOBODY).firstLine, /^ERR_STORE .* attempt to write a readonly database$/);
  chmodSync(directory, 0o700);
  assert.deepEqual(readFileSync(file), before);
  assert.equal(await runChild(t, open, NOBODY).firstLine, 'open');
});

test('an empty file, which a crash at the first start leaves, becomes a database', async (t) => {
  const file = newFile(t);
  writeFileSync(file, '', { mode: 0o600 });
  assert.deepEqual(await openStore(t, file).entries.load(), []);
});

test('an entry that was edited by hand into another trust domain, or into nonsense, is not loaded', async (t) => {
  const edits = [
    "UPDATE entries SET spiffe_id = 'spiffe://other.org/e0'",
    "UPDATE entries SET spiffe_id = 'spiffe://ilinux.io/../e0'",
    'UPDATE entries SET federates_with = \'["Other"]\'',
  ];
  for (const edit of edits) {
    const file = await filled(t, 1);
    const db = new Sqlite(file);
    db.exec(edit);
    db.close();
    await assert.rejects(openStore(t, file).entries.load(), (error: SidekeyError) => {
      assert.equal(error.code, 'ERR_STORE');
      assert.match(error.message, /entry e0/);
      return true;
    });
  }
});

test('a database whose entries have no selectors cannot be', async (t) => {
  const store = openStore(t, newFile(t));
  await assert.rejects(store.entries.write({ put: [entry('a', { selectors: [] })], delete: [] }), {
    code: 'ERR_STORE',
  });
});

test('issuances are on record, newest first, all or of one SPIFFE ID', async (t) => {
  const file = newFile(t);
  const store = openStore(t, file);
  const records = ['01', '02', '03', '04'].map((serial, at) => issuance(serial, `spiffe://ilinux.io/${at % 2}`));
  await store.issuances.recordIssuances(records.slice(0, 2));
  await store.issuances.recordIssuances(records.slice(2));
  await store.issuances.recordIssuances([]);
  assert.deepEqual(await store.issuances.newest({ limit: 10 }), records.toReversed());
  assert.deepEqual(await store.issuances.newest({ limit: 1 }), [records[3]]);
  assert.deepEqual(await store.issuances.newest({ spiffeId: 'spiffe://ilinux.io/0', limit: 10 }), [
    records[2],
    records[0],
  ]);
  assert.deepEqual(await store.issuances.newest({ spiffeId: 'spiffe://ilinux.io/2', limit: 10 }), []);
  await store.close();
  assert.equal((await openStore(t, file).issuances.newest({ limit: 10 })).length, 4);
});

test('issuances of one call are recorded all or none', async (t) => {
  const store = openStore(t, newFile(t));
  await store.issuances.recordIssuances([issuance('01', 'a')]);
  const wrong = { ...issuance('03', 'b'), notAfter: 1.5 };
  await assert.rejects(store.issuances.recordIssuances([issuance('02', 'a'), wrong]), { code: 'ERR_STORE' });
  assert.deepEqual(await store.issuances.newest({ limit: 10 }), [issuance('01', 'a')]);
});

test('a closed store says so, and closing again is fine', async (t) => {
  const file = newFile(t);
  const store = openStore(t, file);
  await store.close();
  await store.close();
  await assert.rejects(store.entries.load(), { code: 'ERR_STORE' });
  await assert.rejects(store.entries.write({ put: [entry('a')], delete: [] }), { code: 'ERR_STORE' });
});

test('the log is synced at every commit', async (t) => {
  const file = newFile(t);
  const opened: Sqlite.Database[] = [];
  const pragma = Sqlite.prototype.pragma;
  t.mock.method(Sqlite.prototype, 'pragma', function (this: Sqlite.Database, ...given: Parameters<typeof pragma>) {
    opened.push(this);
    return pragma.apply(this, given);
  });
  openStore(t, file);
  const read = (name: string) => pragma.call(opened[0]!, name, { simple: true });
  assert.equal(read('journal_mode'), 'wal');
  // 2 is FULL.
  assert.equal(read('synchronous'), 2);
  assert.equal(read('foreign_keys'), 1);
});

test('entries of an earlier version are for nobody in a container', async (t) => {
  const file = newFile(t);
  const db = new Sqlite(file);
  migrate(db, MIGRATIONS.slice(0, 4));
  db.prepare("INSERT INTO meta VALUES ('trust_domain', ?)").run(TRUST_DOMAIN);
  db.exec(
    `INSERT INTO entries VALUES ('old', 'spiffe://ilinux.io/old', '[{"type":"unix","value":"uid:1"}]', '', 0, 0, '[]', '[]', '', 0, 1, 1, 1, 'api')`,
  );
  db.close();
  const store = openStore(t, file);
  const [old] = await store.entries.load();
  assert.deepEqual([old!.id, old!.allowContained], ['old', false]);
  await store.entries.write({ put: [{ ...old!, allowContained: true }], delete: [] });
  assert.equal((await store.entries.load())[0]!.allowContained, true);
});

test('migrations are taken once, in order, each whole or not at all', (t) => {
  const db = new Sqlite(newFile(t));
  t.after(() => db.close());
  migrate(db, ['CREATE TABLE a (x)']);
  const steps = [
    'CREATE TABLE a (x)',
    'INSERT INTO a VALUES (1)',
    'INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (3)',
  ];
  assert.throws(() => migrate(db, steps), /nowhere/);
  assert.equal(schemaVersion(db), 2);
  assert.deepEqual(db.prepare('SELECT x FROM a').pluck().all(), [1]);
  migrate(db, steps.slice(0, 2));
  assert.deepEqual(db.prepare('SELECT x FROM a').pluck().all(), [1]);
});

test('the issuances of a SPIFFE ID are found by an index', async (t) => {
  const file = await filled(t, 1);
  const db = new Sqlite(file, { readonly: true });
  t.after(() => db.close());
  const plan = (sql: string) => JSON.stringify(db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all());
  assert.match(
    plan("SELECT * FROM issuances WHERE spiffe_id = 'x' ORDER BY sequence DESC LIMIT 5"),
    /issuances_by_spiffe_id/,
  );
  assert.doesNotMatch(
    plan("SELECT * FROM issuances WHERE spiffe_id = 'x' ORDER BY sequence DESC LIMIT 5"),
    /TEMP B-TREE/,
  );
});
