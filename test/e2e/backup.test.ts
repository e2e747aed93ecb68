/** Backups of a running server, and their restore: `bin/sidekey`, real sockets, signals and an Envoy. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import Sqlite from 'better-sqlite3';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { parseTrustDomain } from '../../src/spiffe/index.ts';
import { cleanEnvironment, type Ran } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { makeCertificate } from '../support/certificates.ts';
import { envoyForTests } from '../support/envoy.ts';
import { fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { chainOf, openStream, rootsOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const PASSPHRASE = 'correct horse battery staple';
const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
const found = await envoyForTests();

function start(args: readonly string[], env: Record<string, string> = {}) {
  return spawn(SIDEKEY, args, { cwd: '/', env: { ...cleanEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const child = start(args, env);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

/** Runs a command that must succeed. */
async function done(args: readonly string[], env?: Record<string, string>): Promise<Ran> {
  const ran = await run(args, env);
  assert.equal(ran.status, 0, ran.stderr);
  return ran;
}

/** Runs a command that must be refused with this message. */
async function refused(args: readonly string[], message: RegExp, env?: Record<string, string>): Promise<void> {
  const { status, stderr } = await run(args, env);
  assert.notEqual(status, 0);
  assert.match(stderr, message);
}

const at = ({ adminSocket }: Place) => ({ SIDEKEY_ADMIN_SOCKET: adminSocket });

async function create(server: Served, spiffe_id = WEB): Promise<void> {
  const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id, selectors });
  assert.equal(status, 201, JSON.stringify(body));
}

async function names(server: Served): Promise<string[]> {
  const { body } = await server.request('GET', '/v1/entries?limit=1000');
  return (body.entries as { spiffe_id: string }[]).map(({ spiffe_id }) => spiffe_id).sort();
}

/** A file in the place's folder. */
const inPlace = ({ directory }: Place, name: string) => path.join(directory, name);

/** An identity file, and its recipient. */
async function ageKey(place: Place) {
  const identity = await generateX25519Identity();
  const file = inPlace(place, 'age-key');
  writeFileSync(file, `# a comment\n${identity}\n`, { mode: 0o600 });
  return { file, recipient: await identityToRecipient(identity) };
}

/** Backs up in clear, for tests about other things than encryption. */
async function backUp(server: Served, name = 'backup.tar'): Promise<string> {
  const file = inPlace(server, name);
  await done(['backup', file, '--plain'], at(server));
  return file;
}

const bundleOf = async (server: Served) => (await server.request('GET', '/v1/bundle')).body;

interface AuthorityJson {
  readonly id: string;
  readonly role: string;
  readonly state: string;
}

async function authorities(server: Served): Promise<AuthorityJson[]> {
  return (await server.request('GET', '/v1/ca')).body.authorities;
}

/** The ID of the active authority, once there is one. */
async function active(server: Served, role: string): Promise<string> {
  for (;;) {
    const one = (await authorities(server)).find((each) => each.role === role && each.state === 'active');
    if (one !== undefined) return one.id;
    await pause(20);
  }
}

/** A data directory whose database has many rows, so that its backup takes a while. */
async function makeLarge(place: Place, rows: number): Promise<void> {
  mkdirSync(place.dataDir, { mode: 0o700 });
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const store = openSqliteStore({ path: path.join(place.dataDir, 'sidekey.db'), trustDomain });
  const base = {
    kind: 'x509' as const,
    spiffeId: WEB,
    entryId: 'e'.repeat(300),
    authorityId: 'a',
    notBefore: 0,
    notAfter: 1,
    issuedAt: 1,
  };
  await store.issuances.recordIssuances(Array.from({ length: rows }, (_, i) => ({ serial: String(i), ...base })));
  await store.close();
}

describe('sidekey backup and restore', { concurrency: 2, timeout: 400_000 }, () => {
  it('give a server with the same entries and authorities, whose SVIDs peers with the former bundle accept', async (t) => {
    const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'] });
    await create(server);
    const stream = openStream(t, server.socket, WEB, BUNDLE);
    const [root] = rootsOf(secretOf(await stream.next(), BUNDLE));
    const carried = await makeCertificate({ notBefore: Date.now() - 60_000 });
    const until = new Date(Date.now() + 86_400_000).toISOString();
    await server.request('POST', '/v1/ca/carried', { certificates: carried.pem, until });
    const key = await ageKey(server);
    const file = inPlace(server, 'backup.age');
    writeFileSync(file, 'an older backup', { mode: 0o644 });
    const { stdout } = await done(['backup', file, '--recipient', key.recipient, '-o', 'json'], at(server));
    assert.deepEqual(JSON.parse(stdout), { file, bytes: statSync(file).size, encryption: 'to 1 recipient' });
    assert.equal(statSync(file).mode & 0o7777, 0o600);
    assert.deepEqual(
      readdirSync(server.directory).filter((name) => name.includes('partial')),
      [],
    );
    assert.ok(!existsSync(path.join(server.dataDir, 'backup.db')));
    await create(server, `${BUNDLE}/later`);
    const before = await bundleOf(server);
    await server.stop();

    const place = makePlace(t);
    const restore = ['restore', file, '--identity-file', key.file];
    const other = await generateX25519Identity();
    writeFileSync(inPlace(server, 'other-key'), other, { mode: 0o600 });
    const wrong = ['restore', file, '--check', '--identity-file', inPlace(server, 'other-key')];
    await refused(wrong, /cannot be decrypted: it is encrypted to others, or with another passphrase \(ERR_BACKUP\)/);
    const checked = JSON.parse((await done([...restore, '--check', '-o', 'json'])).stdout);
    assert.equal(checked.entries, 1);
    assert.ok(!existsSync(place.dataDir));
    const { stdout: report, stderr } = await done([...restore, '--data-dir', place.dataDir, '-o', 'json']);
    const { made_at, sequence_number, kept_aside } = JSON.parse(report);
    assert.equal(kept_aside, null);
    assert.ok(sequence_number > before.spiffe_sequence);
    assert.match(stderr, new RegExp(`Everything after ${made_at} is lost`));
    assert.match(stderr, /a token that was deleted since then is valid again/);
    assert.match(stderr, /DANGER: if one of these authorities was tainted after/);
    assert.match(stderr, new RegExp(`is a root of another server; what it signs is accepted until ${until}`));
    assert.ok(JSON.parse(report).authorities.some(({ state }: AuthorityJson) => state === 'carried'));
    assert.deepEqual(readdirSync(place.dataDir).sort(), ['admin.token', 'ca', 'lock', 'sidekey.db']);
    const token = (one: Place) => readFileSync(path.join(one.dataDir, 'admin.token'), 'utf8');
    assert.equal(token(place), token(server));

    const again = await serve(t, { place });
    assert.deepEqual(await names(again), [WEB]);
    const bundle = await bundleOf(again);
    assert.deepEqual(bundle.keys, before.keys);
    assert.ok(bundle.spiffe_sequence >= sequence_number);
    const [leaf, intermediate] = chainOf(secretOf(await openStream(t, again.socket, WEB).next(), WEB));
    assert.ok(leaf!.verify(intermediate!.publicKey) && intermediate!.verify(root!.publicKey));
  });

  it('encrypt with a passphrase that age opens, from a file or from a terminal', async (t) => {
    const server = await serve(t);
    await create(server);
    const [file, secret] = [inPlace(server, 'b.age'), inPlace(server, 'passphrase')];
    writeFileSync(secret, `${PASSPHRASE}\n`, { mode: 0o600 });
    await done(['backup', file, '--passphrase-file', secret], at(server));
    const head = readFileSync(file).subarray(0, 200).toString('latin1');
    assert.match(head, /^age-encryption\.org\/v1\n-> scrypt /);
    await refused(['restore', file, '--check', '--plain'], /is encrypted: give --identity-file or --passphrase-file/);
    await done(['restore', file, '--check', '--passphrase-file', secret]);
    await refused(['backup', file], /there is no terminal to ask for a passphrase/, at(server));

    if (spawnSync('script', ['--version']).error !== undefined) return t.skip('there is no script(1) for a terminal');
    const typed = inPlace(server, 'typed.age');
    const child = spawn('script', ['-qefc', `${SIDEKEY} backup ${typed}`, '/dev/null'], {
      env: { ...cleanEnvironment(), ...at(server) },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    endAfter(t, child);
    let said = '';
    for await (const text of child.stdout.setEncoding('utf8') as AsyncIterable<string>) {
      const asked = () => said.split(/Passphrase for the backup: |The same again: /).length;
      const before = asked();
      said += text;
      // A wrong character and a backspace, which removes it.
      if (asked() > before) child.stdin.write(`${PASSPHRASE}x\x7f\r`);
    }
    assert.ok(!said.includes('horse'), said);
    await done(['restore', typed, '--check', '--passphrase-file', secret]);
  });

  it('is refused over TCP, with the token too, with an error of its own', async (t) => {
    const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'] });
    const { port } = await server.logged('admin API listens on TCP');
    const token = path.join(server.dataDir, 'admin.token');
    const file = inPlace(server, 'b.tar');
    const flags = ['--admin-url', `http://127.0.0.1:${port}`, '--token-file', token];
    await refused(['backup', file, '--plain', ...flags], /never sent over TCP.*ERR_UNIX_SOCKET_ONLY/);
    assert.ok(!existsSync(file));
  });

  it('is made one at a time, and a reader that goes away does not keep the next one out', async (t) => {
    const place = makePlace(t);
    await makeLarge(place, 40_000);
    const server = await serve(t, { place, flags: ['--new-root'] });
    const first = http.request({ socketPath: server.adminSocket, method: 'POST', path: '/v1/backup' });
    first.on('error', () => undefined).end();
    const [response] = (await once(first, 'response')) as [http.IncomingMessage];
    assert.equal(response.headers['content-type'], 'application/x-tar');
    response.pause().on('error', () => undefined);
    const second = await server.request('POST', '/v1/backup');
    assert.deepEqual([second.status, second.body.code], [409, 'ERR_BACKUP_RUNNING']);
    first.destroy();
    await server.logged('backup: its reader did not read it to the end');
    await backUp(server);
    // A stop does not wait for a reader that reads nothing.
    const slow = http.request({ socketPath: server.adminSocket, method: 'POST', path: '/v1/backup' });
    slow.on('error', () => undefined).end();
    const [unread] = (await once(slow, 'response')) as [http.IncomingMessage];
    unread.pause().on('error', () => undefined);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  it('is whole at any moment: during traffic, rotations of root and intermediate, and a taint', async (t) => {
    const server = await serve(t, { flags: ['--root-publish-time', '0s'], logLevel: 'info' });
    await create(server);
    const stop = new AbortController();
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    let serials: string[] = [];
    let longest = 0;
    const traffic = async () => {
      for (let i = 0; !stop.signal.aborted; i += 1) {
        const id = `${BUNDLE}/traffic-${i}`;
        await create(server, id);
        const began = performance.now();
        const [leaf] = chainOf(secretOf(await client.fetch({ resourceNames: [id] }), id));
        longest = Math.max(longest, performance.now() - began);
        serials.push(leaf!.serialNumber.toLowerCase());
      }
    };
    const rotations = async () => {
      for (let i = 0; !stop.signal.aborted; i += 1) {
        await server.request('POST', '/v1/ca/rotate', { role: i % 3 === 0 ? 'root' : 'intermediate' });
        if (i % 4 !== 3) continue;
        const id = await active(server, 'root');
        await server.request('POST', `/v1/ca/${id}/taint`);
      }
    };
    const running = Promise.all([traffic(), rotations()]);
    try {
      for (let i = 0; i < 5; i += 1) {
        const given = [...serials];
        serials = [];
        const file = await backUp(server, `b${i}.tar`);
        const { stdout } = await done(['restore', file, '--check', '--plain', '-o', 'json']);
        assert.ok(JSON.parse(stdout).authorities.length >= 2);
        const dir = inPlace(server, `x${i}`);
        mkdirSync(dir);
        assert.equal(spawnSync('tar', ['xf', file, '-C', dir]).status, 0);
        const db = new Sqlite(path.join(dir, 'sidekey.db'), { readonly: true });
        const recorded = new Set(db.prepare('SELECT serial FROM issuances').pluck().all() as string[]);
        const issuers = db.prepare('SELECT DISTINCT authority_id FROM issuances').pluck().all() as string[];
        db.close();
        // What was given out before the backup is recorded in it, and what signed it is known in it.
        assert.deepEqual(
          given.filter((serial) => !recorded.has(serial)),
          [],
        );
        const { slots, gone } = JSON.parse(readFileSync(path.join(dir, 'ca/state.json'), 'utf8'));
        assert.deepEqual(
          issuers.filter((id) => !(id in slots) && !(id in gone)),
          [],
        );
      }
    } finally {
      stop.abort();
      await running;
    }
    t.diagnostic(`longest fetch: ${longest.toFixed(0)} ms`);
    // Each can be restored and served.
    const place = makePlace(t);
    await done(['restore', inPlace(server, 'b4.tar'), '--plain', '--data-dir', place.dataDir]);
    const again = await serve(t, { place });
    assert.ok((await names(again)).includes(WEB));
    const response = await openStream(t, again.socket, WEB, BUNDLE).next();
    const [leaf, intermediate] = chainOf(secretOf(response, WEB));
    assert.ok(leaf!.verify(intermediate!.publicKey));
    assert.ok(rootsOf(secretOf(response, BUNDLE)).some((one) => intermediate!.verify(one.publicKey)));
  });

  it('survives a kill of the server during a backup: no backup appears, and the next start cleans up', async (t) => {
    const place = makePlace(t);
    await makeLarge(place, 20_000);
    const file = inPlace(place, 'b.tar');
    for (let i = 0; i < 4; i += 1) {
      const server = await serve(t, { place, flags: ['--new-root'] });
      assert.ok(!readdirSync(place.dataDir).some((name) => name.startsWith('backup')));
      const backup = run(['backup', file, '--plain'], at(server));
      if (i === 0) await backup;
      // The random moment is the point here: it falls into each step in one of many runs.
      else await pause(Math.random() * 400);
      const [{ status }] = await Promise.all([backup, server.stop('SIGKILL')]);
      await done(['restore', file, '--check', '--plain']);
      if (i > 0 && status !== 0) assert.ok(!readdirSync(place.directory).some((name) => name.includes('partial')));
    }
    await serve(t, { place });
    assert.ok(!readdirSync(place.dataDir).some((name) => name.startsWith('backup')));
  });

  it('leaves the former or the restored state, never a mixture, when a restore is killed', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, `${BUNDLE}/one`);
    const one = await backUp(server, 'one.tar');
    await server.request('POST', '/v1/ca/rotate', { role: 'intermediate' });
    await create(server, `${BUNDLE}/two`);
    const two = await backUp(server, 'two.tar');
    await server.stop();
    const seen = new Set<number>();
    for (let i = 0; i < 8; i += 1) {
      const child = start(['restore', i % 2 === 0 ? one : two, '--plain', '--replace', '--data-dir', place.dataDir]);
      const ended = once(child, 'exit');
      if (i < 2) await ended;
      else await pause(100 + Math.random() * 250);
      child.kill('SIGKILL');
      await ended;
      // The next command with the lock finishes what was decided, or removes what was not.
      const again = await serve(t, { place });
      const entries = (await names(again)).length;
      const intermediates = (await authorities(again)).filter(({ role }) => role === 'intermediate').length;
      assert.equal(intermediates, entries, 'authorities and entries are of different backups');
      seen.add(entries);
      assert.ok(!readdirSync(place.dataDir).some((name) => /^restor/.test(name)));
      await again.stop();
    }
    assert.deepEqual([...seen].sort(), [1, 2]);
  });

  it('goes on with a restore that was killed after its decision', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, `${BUNDLE}/one`);
    const file = await backUp(server);
    await create(server, `${BUNDLE}/two`);
    await server.stop();
    const other = makePlace(t);
    await done(['restore', file, '--plain', '--data-dir', other.dataDir]);
    // As a kill leaves it after the first of the moves.
    const decided = path.join(place.dataDir, 'restored-20260101T000000Z');
    mkdirSync(decided, { mode: 0o700 });
    for (const name of ['sidekey.db', 'admin.token']) {
      cpSync(path.join(other.dataDir, name), path.join(decided, name));
    }
    const flags = ['--trust-domain', TRUST_DOMAIN, '--data-dir', place.dataDir, '--socket', place.socket];
    const { stdout } = await done(['serve', '--check', ...flags]);
    assert.match(stdout, /a restore in .* was interrupted, and a start would finish it/);
    const again = await serve(t, { place });
    assert.deepEqual(await names(again), [`${BUNDLE}/one`]);
    assert.ok(!existsSync(decided));
    const aside = path.join(place.dataDir, 'before-restore-20260101T000000Z');
    assert.ok(existsSync(path.join(aside, 'sidekey.db')) && !existsSync(path.join(aside, 'ca')));
  });

  it('refuses what it must not replace or use, and changes nothing', async (t) => {
    const server = await serve(t);
    await create(server);
    const file = await backUp(server);
    const to = ['restore', file, '--plain', '--data-dir', server.dataDir];
    await refused(to, /serves .*ERR_DATA_DIR_IN_USE/);
    await refused([...to, '--replace'], /ERR_DATA_DIR_IN_USE/);
    await server.stop();
    const state = () => readFileSync(path.join(server.dataDir, 'ca/state.json'), 'utf8');
    const before = [state(), readdirSync(server.dataDir).sort()];
    await refused(to, /is not empty .*: give --replace.*ERR_DATA_DIR/);
    const replace = [...to, '--replace'];
    await refused([...replace, '--trust-domain', 'other.test'], /is of the trust domain ilinux.io, not other.test/);
    await refused([...replace, '--taint', 'ffffffff'], /no authority whose ID is, or begins with, ffffffff/);
    const damaged = inPlace(server, 'damaged.tar');
    const bytes = readFileSync(file);
    bytes[bytes.indexOf('SQLite format 3') + 5000]! ^= 1;
    writeFileSync(damaged, bytes, { mode: 0o600 });
    const restore = ['--plain', '--data-dir', server.dataDir, '--replace'];
    await refused(['restore', damaged, ...restore], /is damaged: its files differ from its SHA256SUMS \(ERR_BACKUP\)/);
    writeFileSync(damaged, bytes.subarray(0, bytes.length / 2));
    await refused(['restore', damaged, ...restore], /is not complete: it ends too early \(ERR_BACKUP\)/);
    // Somebody else could have put it there.
    chmodSync(file, 0o666);
    await refused(['restore', file, ...restore], /a backup decides which keys are trusted/);
    chmodSync(file, 0o600);
    const key = await ageKey(server);
    await refused(
      ['restore', file, '--identity-file', key.file, '--data-dir', server.dataDir, '--replace'],
      /is not encrypted: if it is the backup that you mean, give --plain/,
    );
    assert.deepEqual([state(), readdirSync(server.dataDir).sort()], before);

    const other = await serve(t, { flags: ['--trust-domain', 'other.test'] });
    await other.stop();
    await refused(['restore', file, '--plain', '--data-dir', other.dataDir, '--replace'], /and .* is of other.test/);
    const link = inPlace(server, 'link');
    symlinkSync('/nonexistent', link);
    await refused(['backup', link, '--plain'], /exists and is not a regular file/, at(server));
  });

  it('refuses a database of a newer Sidekey: the message names the version', async (t) => {
    const server = await serve(t);
    const file = await backUp(server);
    await server.stop();
    const dir = inPlace(server, 'x');
    mkdirSync(dir);
    spawnSync('tar', ['xf', file, '-C', dir]);
    const db = new Sqlite(path.join(dir, 'sidekey.db'));
    const next = (db.pragma('user_version', { simple: true }) as number) + 1;
    db.pragma(`user_version = ${next}`);
    db.exec("UPDATE meta SET value = '9.9.9' WHERE key = 'schema_by'");
    db.close();
    const place = makePlace(t);
    mkdirSync(place.dataDir, { mode: 0o700 });
    for (const name of ['sidekey.db', 'ca', 'admin.token']) {
      cpSync(path.join(dir, name), path.join(place.dataDir, name), { recursive: true });
    }
    chmodSync(path.join(place.dataDir, 'ca'), 0o700);
    await assert.rejects(
      serve(t, { place }),
      new RegExp(
        `schema version ${next}, which a newer Sidekey made \\(9\\.9\\.9\\).*run Sidekey 9\\.9\\.9 or a newer one`,
      ),
    );
  });

  it('keeps what the replaced directory knows: taints and the sequence number; and takes taints by flag', async (t) => {
    const server = await serve(t, { flags: ['--root-publish-time', '0s'] });
    await create(server);
    const file = await backUp(server);
    const id = await active(server, 'root');
    assert.equal((await server.request('POST', `/v1/ca/${id}/taint`)).status, 200);
    while ((await authorities(server)).some((one) => one.state === 'tainted')) await pause(20);
    const fresh = await active(server, 'root');
    const { spiffe_sequence } = await bundleOf(server);
    await server.stop();
    const to = ['restore', file, '--plain', '--data-dir', server.dataDir, '--replace', '-o', 'json'];
    const { stdout, stderr } = await done(to);
    const report = JSON.parse(stdout);
    assert.ok(report.known_taints.includes(id));
    assert.ok(report.sequence_number > spiffe_sequence);
    assert.match(stderr, new RegExp(`${id} was tainted after the backup, as the replaced directory says`));
    // The JWT keys may have been tainted too, and of them nothing is known.
    assert.match(stderr, /DANGER.*\n {2}jwt [0-9a-f]{40}\n/);
    assert.doesNotMatch(stderr, /\n {2}(?:root|intermediate) /);
    assert.ok(existsSync(path.join(report.kept_aside, 'ca', `root-${fresh}.pem`)));
    const again = await serve(t, { place: server });
    const now = await active(again, 'root');
    assert.ok(now !== id && now !== fresh);
    while ((await authorities(again)).some((one) => one.id === id)) await pause(20);
    await again.stop();

    // Elsewhere nothing is known, so the flag says it. An intermediate's root is tainted with it.
    const place = makePlace(t);
    const intermediate = report.authorities.find(({ role }: AuthorityJson) => role === 'intermediate').id as string;
    const flags = ['--plain', '--data-dir', place.dataDir, '--taint', intermediate.slice(0, 8), '-o', 'json'];
    const { authorities: restored } = JSON.parse((await done(['restore', file, ...flags])).stdout);
    const states = restored
      .filter(({ role }: AuthorityJson) => role !== 'jwt')
      .map(({ state }: AuthorityJson) => state);
    assert.deepEqual(new Set(states), new Set(['tainted']));
    const elsewhere = await serve(t, { place });
    assert.notEqual(await active(elsewhere, 'root'), id);
  });

  it('keeps encrypted keys encrypted, and needs their passphrase for the check', async (t) => {
    const place = makePlace(t);
    const secret = inPlace(place, 'key-passphrase');
    writeFileSync(secret, `${PASSPHRASE}\n`, { mode: 0o600 });
    const server = await serve(t, { place, flags: ['--key-passphrase-file', secret] });
    const file = await backUp(server);
    const text = readFileSync(file, 'latin1');
    assert.ok(text.includes('ENCRYPTED PRIVATE KEY') && !text.includes('BEGIN PRIVATE KEY'));
    await refused(['restore', file, '--plain', '--check'], /is encrypted; give the file with its passphrase/);
    const to = makePlace(t);
    await done(['restore', file, '--plain', '--data-dir', to.dataDir, '--key-passphrase-file', secret]);
    await serve(t, { place: to, flags: ['--key-passphrase-file', secret] });
  });

  it('lets a real Envoy go on: it gets an SVID of the restored server that a peer with the former bundle accepts', {
    skip: found.skip,
  }, async (t) => {
    assert.ok(found.skip === false);
    const server = await serve(t);
    await create(server);
    const peer = await fetchCredentials(server.socket, WEB);
    const file = await backUp(server);
    const [port] = await freePorts(1);
    const grpc = { envoy_grpc: { cluster_name: 'sidekey' } };
    const api = { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [grpc] };
    const config = { resource_api_version: 'V3', api_config_source: api };
    const tls = {
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [secretConfig(WEB, { config })],
        validation_context_sds_secret_config: secretConfig(BUNDLE, { config }),
      },
    };
    const bootstrap = {
      node: { id: 'web', cluster: 'web' },
      static_resources: {
        listeners: [tlsListener(port!, tls)],
        clusters: [pipeCluster('sidekey', server.socket)],
      },
    };
    const envoy = await startEnvoy(t, found.envoy.path, bootstrap);
    await envoy.live();
    const first = await mtlsRequest(port!, peer);
    assert.equal(first.status, 200);
    await server.stop('SIGKILL');
    await done(['restore', file, '--plain', '--data-dir', server.dataDir, '--replace']);
    await serve(t, { place: server });
    for (;;) {
      const shown = await mtlsRequest(port!, peer);
      assert.deepEqual([shown.status, shown.uri], [200, WEB]);
      if (shown.serial !== first.serial) break;
      await pause(50);
    }
  });
});
