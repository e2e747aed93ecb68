/** The audit of a real server: by its command line, after a crash, tampered with, and exported while SVIDs are issued. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Sqlite from 'better-sqlite3';
import { SdsClient } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const UID = process.getuid!();
const ID = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
const entry = (name: string) => ({ spiffe_id: ID(name), selectors: [{ type: 'unix', value: `uid:${UID}` }] });

/** The built command, which starts sooner than its source. */
async function audit(place: Place, args: readonly string[], stdin = '') {
  const env = { ...process.env, SIDEKEY_ADMIN_SOCKET: place.adminSocket };
  const child = spawn(path.join(ROOT, 'bin/sidekey'), ['audit', ...args], { env });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
  child.stdin.on('error', () => undefined).end(stdin);
  const [status] = await once(child, 'close');
  return { status, stdout: (await stdout!).join(''), stderr: (await stderr!).join('') };
}

/** Asks for these names and waits for the answer with all of them. */
async function ask(t: TestContext, { socket }: Place, names: readonly string[]): Promise<void> {
  const client = new SdsClient(socket);
  t.after(() => client.close());
  const { resources } = await client.fetch({ resourceNames: [...names] });
  assert.equal(resources.length, names.length);
}

async function rowsOf(server: Served, query = '') {
  const { body } = await server.request('GET', `/v1/audit?order=oldest&limit=1000${query}`);
  return body.rows;
}

/** A change of the database by somebody who can write it. */
function tamper({ dataDir }: Place, sql: string): void {
  const db = new Sqlite(path.join(dataDir, 'sidekey.db'));
  for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all() as {
    name: string;
  }[]) {
    db.exec(`DROP TRIGGER ${name}`);
  }
  db.exec(sql);
  db.close();
}

describe('the audit of a server', { concurrency: 2, timeout: 250_000 }, () => {
  it('is listed, exported, and verified against the hash in the log', async (t) => {
    const place = makePlace(t);
    const entries = path.join(place.directory, 'entries.json');
    writeFileSync(entries, JSON.stringify({ entries: [entry('file')] }));
    const server = await serve(t, { place, flags: ['--entries', entries] });
    await server.request('POST', '/v1/entries', entry('web'));
    await ask(t, place, [ID('web'), ID('file')]);
    const list = await audit(place, ['list', '--since', '1h', '-o', 'wide']);
    assert.deepEqual([list.status, list.stderr], [0, '']);
    assert.match(list.stdout, /^SEQUENCE +AT +ACTION +ACTOR +ABOUT +SOURCE +HASH\n/);
    assert.match(list.stdout, /entry\.created +unix:\d+ +\S+ spiffe:\/\/ilinux\.io\/web +unix socket/);
    assert.match(list.stdout, new RegExp(`entry\\.created +file:${entries} `));
    assert.match(list.stdout, /authority\.activated +server /);
    const issued = JSON.parse(
      (await audit(place, ['list', '--action', 'svid', '--spiffe-id', ID('web'), '-o', 'json'])).stdout,
    );
    assert.equal(issued.rows.length, 1);
    const serial = await audit(place, ['list', '--serial', issued.rows[0].serial.toUpperCase(), '-o', 'name']);
    assert.match(serial.stdout, /^\d+\n$/);
    const verified = await audit(place, ['verify']);
    assert.equal(verified.status, 0, verified.stderr);
    assert.match(verified.stdout, /^verified \d+ rows and 2 issuances, up to row \d+\nhash [0-9a-f]{64}\n.*--expect/s);
    const exported = await audit(place, ['export']);
    assert.equal(exported.status, 0);
    const file = path.join(place.directory, 'audit.jsonl');
    writeFileSync(file, exported.stdout);
    assert.equal((await audit(place, ['verify', '--file', file])).status, 0);
    assert.equal((await audit(place, ['verify', '--file', '-'], exported.stdout)).status, 0);
    await server.stop();
    const { audit_hash: hash } = await server.logged('audit at stop');
    await serve(t, { place, flags: ['--entries', entries] });
    const expected = await audit(place, ['verify', '--expect', String(hash), '-o', 'json']);
    assert.equal(expected.status, 0, expected.stderr);
    const wrong = await audit(place, ['verify', '--expect', 'ab'.repeat(32)]);
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /no row from 0 to \d+ has the expected hash/);
    for (const [args, message] of [
      [['verify', '--expect', 'x'], /--expect: "x" is not a hash of 64 hex digits/],
      [['list', '--since', 'never'], /--since: "never" is neither a time/],
      [['list', '--limit', '0'], /--limit: "0" is not a positive/],
      [['verify', '--file', '/nonexistent'], /--file: ENOENT/],
    ] as const) {
      const { status, stderr } = await audit(place, args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
    }
  });

  it('is checked by the program in docs/audit.md', async (t) => {
    if (spawnSync('python3', ['--version']).error !== undefined) return t.skip('there is no python3 here');
    const place = makePlace(t);
    const server = await serve(t, { place });
    await server.request('POST', '/v1/entries', { entries: [entry('a'), entry('bü')].slice(0, 1) });
    await ask(t, place, [ID('a')]);
    const { body } = await server.request('GET', '/v1/audit?format=jsonl');
    const program = /```python\n(.*?)```/s.exec(readFileSync(path.join(ROOT, 'docs/audit.md'), 'utf8'))![1]!;
    const run = (input: string) => spawnSync('python3', ['-c', program], { input, encoding: 'utf8' });
    const good = run(body);
    const { head } = (await server.request('GET', '/v1/audit?limit=1')).body;
    assert.deepEqual([good.status, good.stdout], [0, `${head.sequence} ${head.hash}\n`], good.stderr);
    assert.notEqual(run(body.replace('"issuance":1', '"issuance":2')).status, 0);
    assert.notEqual(run(body.replace('/a"', '/b"')).status, 0);
    return undefined;
  });

  it('has the row of a change, or neither, when the server is killed', async (t) => {
    const place = makePlace(t);
    let names = 0;
    for (let round = 0; round < 3; round += 1) {
      const server = await serve(t, { place, logLevel: 'info' });
      const sent: Promise<unknown>[] = [];
      const first = await server.request('POST', '/v1/entries', entry(`e${names}`));
      assert.equal(first.status, 201);
      for (let i = 1; i < 40; i += 1) {
        sent.push(server.request('POST', '/v1/entries', entry(`e${names + i}`)).catch(() => undefined));
        sent.push(
          server.request('PUT', `/v1/aliases/a${names + i}.example`, { spiffe_id: ID('e') }).catch(() => undefined),
        );
      }
      names += 40;
      // Somewhere in the middle of them.
      await sent[round * 8];
      await server.stop('SIGKILL');
      await Promise.all(sent);
    }
    const server = await serve(t, { place });
    const rows = await rowsOf(server);
    const of = (action: string) =>
      rows.flatMap((row: { action: string; target: string }) => (row.action === action ? [row.target] : [])).toSorted();
    const { entries } = (await server.request('GET', '/v1/entries?limit=1000')).body;
    assert.deepEqual(of('entry.created'), entries.map(({ id }: { id: string }) => id).toSorted());
    const { aliases } = (await server.request('GET', '/v1/aliases')).body;
    assert.deepEqual(of('alias.created'), aliases.map(({ host }: { host: string }) => host).toSorted());
    assert.ok(entries.length >= 3, String(entries.length));
    assert.equal((await audit(place, ['verify'])).status, 0);
  });

  const tampered: Readonly<Record<string, [string, RegExp]>> = {
    'a changed row': [
      "UPDATE audit SET record = replace(record, '/web', '/evil') WHERE record LIKE '%/web%'",
      /row \d+ does not have its hash/,
    ],
    'a removed row': ['DELETE FROM audit WHERE sequence = 3', /row 3 is missing: row 4 follows row 2/],
    'a removed beginning': ['DELETE FROM audit WHERE sequence < 3', /row 1 is missing: row 3 follows row 0/],
    'swapped rows': [
      'UPDATE audit SET sequence = -2 WHERE sequence = 2; UPDATE audit SET sequence = 2 WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = -2',
      /row 2 is missing|row 2 does not/,
    ],
    'a changed issuance': ["UPDATE issuances SET serial = '01'", /an issuance from 1 to 1 was changed/],
    'a removed issuance': ['DELETE FROM issuances', /issuances are missing|issuance 1 is missing/],
    'a cut-off end': ['DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)', /has the expected hash/],
  };
  for (const [what, [sql, message]] of Object.entries(tampered)) {
    it(`shows ${what}`, async (t) => {
      const place = makePlace(t);
      const server = await serve(t, { place });
      await server.request('POST', '/v1/entries', entry('web'));
      await ask(t, place, [ID('web')]);
      await server.request('PUT', '/v1/aliases/a.example', { spiffe_id: ID('web') });
      await server.stop();
      const { audit_hash: hash } = await server.logged('audit at stop');
      tamper(place, sql);
      await serve(t, { place });
      const { status, stderr, stdout } = await audit(place, ['verify', '--expect', String(hash)]);
      assert.equal(status, 1, stdout);
      assert.match(stderr, message);
    });
  }

  it('cannot be changed without dropping its triggers', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await server.request('POST', '/v1/entries', entry('web'));
    await ask(t, place, [ID('web')]);
    const db = new Sqlite(path.join(place.dataDir, 'sidekey.db'), { timeout: 5_000 });
    t.after(() => db.close());
    for (const sql of [
      "UPDATE audit SET record = '{}'",
      'DELETE FROM audit',
      "INSERT INTO audit (sequence, record, hash, total) VALUES (99, '{}', zeroblob(32), 0)",
      "INSERT OR REPLACE INTO audit (sequence, record, hash, total) VALUES (1, '{}', zeroblob(32), 0)",
      "UPDATE issuances SET serial = '01'",
      'DELETE FROM issuances',
    ]) {
      assert.throws(() => db.exec(sql), { code: 'SQLITE_CONSTRAINT_TRIGGER' }, sql);
    }
  });

  it('is exported whole while SVIDs are issued, which goes on', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place, logLevel: 'info' });
    const names = Array.from({ length: 1_500 }, (_, i) => `w${i}`);
    for (let at = 0; at < names.length; at += 500) {
      const { status } = await server.request('POST', '/v1/entries', { entries: names.slice(at, at + 500).map(entry) });
      assert.equal(status, 201);
    }
    const exports = Array.from({ length: 3 }, () => audit(place, ['export']));
    const issuing = ask(t, place, names.map(ID));
    for (const exported of exports) {
      const { status, stdout, stderr } = await exported;
      assert.equal(status, 0, stderr);
      assert.equal((await audit(place, ['verify', '--file', '-'], stdout)).status, 0);
    }
    await issuing;
    const verified = await audit(place, ['verify']);
    assert.match(verified.stdout, / and 1500 issuances/);
  });
});
