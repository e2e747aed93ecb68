/** The life of a server, from outside: its lock, its files, its sockets, what a crash leaves. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { chainOf, namesOf, rootsOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const UID = process.getuid!();

/** Runs a server that is expected to end by itself; its status and stderr. */
async function runServe(place: Place, flags: readonly string[] = []): Promise<{ code: number | null; stderr: string }> {
  const child = spawnServe(place, flags);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout!.resume();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

function* filesBelow(directory: string): Generator<string> {
  for (const item of readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, item.name);
    yield file;
    if (item.isDirectory()) yield* filesBelow(file);
  }
}

describe('sidekey serve', { concurrency: 2, timeout: 60_000 }, () => {
  it('is the process that was started, without children', async (t) => {
    const server = await serve(t);
    assert.match(readFileSync(`/proc/${server.pid}/cmdline`, 'utf8'), /sidekey\.cjs\0serve/);
    assert.equal(readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8'), '');
  });

  it('keeps directories 0700 and files 0600, those of SQLite too', async (t) => {
    const server = await serve(t);
    await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors: [{ type: 'unix', value: `uid:${UID}` }] });
    const found = [...filesBelow(server.dataDir)];
    for (const file of ['sidekey.db', 'sidekey.db-wal', 'sidekey.db-shm']) {
      assert.ok(found.includes(path.join(server.dataDir, file)), file);
    }
    for (const file of [server.dataDir, ...found]) {
      const stats = statSync(file);
      assert.equal(stats.mode & 0o777, stats.isDirectory() ? 0o700 : 0o600, file);
    }
    assert.equal(statSync(server.socket).mode & 0o777, 0o660);
    assert.equal(statSync(server.adminSocket).mode & 0o777, 0o600);
  });

  it('refuses a data directory that is open to others, with the command that mends it', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const db = path.join(place.dataDir, 'sidekey.db');
    chmodSync(db, 0o644);
    const { code, stderr } = await runServe(place);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`chmod go-rwx ${db}`));
    chmodSync(db, 0o600);
    await serve(t, { place });
  });

  it('refuses to be the second on a data directory, and the first goes on', async (t) => {
    const server = await serve(t);
    const other = makePlace(t);
    const { code, stderr } = await runServe({ ...other, dataDir: server.dataDir });
    assert.equal(code, 1);
    assert.match(stderr, /another Sidekey/i);
    assert.equal((await server.request('GET', '/readyz')).status, 200);
  });

  it('never takes the socket of a server that answers', async (t) => {
    const server = await serve(t);
    const other = makePlace(t);
    const { code, stderr } = await runServe({ ...other, socket: server.socket });
    assert.equal(code, 1);
    assert.ok(stderr.includes(server.socket), stderr);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    await assert.rejects(client.fetch({ resourceNames: [WEB] }), { code: 5 });
  });

  it('starts again after SIGKILL over the dead sockets, with every entry and the same root', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    const selectors = [{ type: 'unix', value: `uid:${UID}` }];
    assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
    const rootOf = async () => {
      const client = new SdsClient(place.socket);
      const response = await client.fetch({ resourceNames: [WEB, BUNDLE] });
      client.close();
      assert.deepEqual(namesOf(response), [BUNDLE, WEB]);
      return rootsOf(secretOf(response, BUNDLE))[0]!.fingerprint256;
    };
    const before = await rootOf();
    assert.deepEqual(await server.stop('SIGKILL'), { code: null, signal: 'SIGKILL' });
    assert.ok(statSync(place.socket).isSocket(), 'the dead socket is still there');
    await serve(t, { place });
    assert.equal(await rootOf(), before);
  });

  it('removes its sockets when it stops', async (t) => {
    const server = await serve(t);
    await server.stop();
    assert.equal(statSync(server.socket, { throwIfNoEntry: false }), undefined);
    assert.equal(statSync(server.adminSocket, { throwIfNoEntry: false }), undefined);
  });

  it('refuses a database of another trust domain', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const { code, stderr } = await runServe(place, ['--trust-domain', 'other.io']);
    assert.equal(code, 1);
    assert.match(stderr, /ilinux\.io.*other\.io|other\.io.*ilinux\.io/s);
  });

  it('makes the entries of a file equal to it at each start and leaves others alone', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    const write = (...names: string[]) =>
      writeFileSync(
        file,
        `entries:\n${names.map((n) => `- {spiffe_id: "${BUNDLE}/${n}", selectors: ["unix:uid:${UID}"]}\n`).join('')}`,
      );
    write('a', 'b');
    const first = await serve(t, { place, flags: ['--entries', file] });
    await first.request('POST', '/v1/entries', { spiffe_id: WEB, selectors: [{ type: 'unix', value: 'uid:1' }] });
    await first.stop();
    write('b', 'c');
    const second = await serve(t, { place, flags: ['--entries', file] });
    const { body } = await second.request('GET', '/v1/entries');
    const ids = body.entries.map((entry: { spiffe_id: string }) => entry.spiffe_id).sort();
    assert.deepEqual(ids, [`${BUNDLE}/b`, `${BUNDLE}/c`, WEB]);
    await second.stop();
    writeFileSync(file, 'entries:\n- spiffe_id: nonsense\n  selectors: ["unix:uid:0"]\n');
    const { code, stderr } = await runServe(place, ['--entries', file]);
    assert.equal(code, 2);
    assert.match(stderr, /entries\.yaml:2/);
  });

  it('tells whoever makes or declares an entry that nobody here can have it', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(
      file,
      `entries:\n- {id: declared, spiffe_id: "${WEB}", x509SvidTtl: 48h, selectors: ["docker:label:a:b", "unix:user:no-such-user"]}\n`,
    );
    const server = await serve(t, { place, flags: ['--entries', file] });
    const lines = server.log.filter(({ entry_id }) => entry_id === 'declared');
    assert.deepEqual(
      lines.map((line) => line.path),
      ['selectors', 'selectors', 'x509_svid_ttl'].map((field) => `${file}:2 /entries/0/${field}`),
    );
    const body = { spiffe_id: `${BUNDLE}/x`, selectors: ['unix:user:no-such-user'], x509_svid_ttl: '3s' };
    const made = await server.request('POST', '/v1/entries', body);
    assert.deepEqual(
      made.body.warnings.map((one: { path: string }) => one.path),
      ['/selectors', '/x509_svid_ttl'],
    );
  });

  it('renews a short-lived intermediate under the same root without a change of the bundle', async (t) => {
    const place = makePlace(t);
    const flags = ['--ca-ttl', '1m', '--x509-svid-ttl', '10s'];
    const server = await serve(t, { place, flags });
    const selectors = [{ type: 'unix', value: `uid:${UID}` }];
    await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors, x509_svid_ttl: 300 });
    const client = new SdsClient(place.socket);
    t.after(() => client.close());
    const response = await client.fetch({ resourceNames: [WEB, BUNDLE] });
    const [leaf, intermediate] = chainOf(secretOf(response, WEB));
    assert.equal(leaf!.validTo, intermediate!.validTo, 'an SVID never outlives its issuer');
    await server.logged(
      'SVID expires earlier than requested, because its intermediate does; use a TTL of at most half of --ca-ttl',
    );
    // What a later start finds too old to go on with it makes anew; the root stays.
    await server.stop();
    const again = await serve(t, { place, flags: ['--ca-ttl', '10m', '--x509-svid-ttl', '10s'] });
    const later = new SdsClient(again.socket);
    t.after(() => later.close());
    const next = await later.fetch({ resourceNames: [WEB, BUNDLE] });
    assert.notEqual(chainOf(secretOf(next, WEB))[1]!.serialNumber, intermediate!.serialNumber);
    assert.equal(
      rootsOf(secretOf(next, BUNDLE))[0]!.fingerprint256,
      rootsOf(secretOf(response, BUNDLE))[0]!.fingerprint256,
    );
  });

  it('refuses to start by the /proc of another pid namespace', {
    skip: process.getuid!() === 0 ? false : 'only root can make a pid namespace',
  }, async (t) => {
    const place = makePlace(t);
    const flags = ['serve', '--trust-domain', TRUST_DOMAIN, '--data-dir', place.dataDir];
    const sockets = ['--socket', place.socket, '--admin-socket', place.adminSocket];
    const child = spawn('unshare', ['--pid', '--fork', path.join(ROOT, 'bin/sidekey'), ...flags, ...sockets], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    assert.deepEqual(await once(child, 'close'), [1, null]);
    assert.match(stderr, /another pid namespace/);
  });

  it('warns of a TTL that the intermediate cannot keep', async (t) => {
    const server = await serve(t, { flags: ['--ca-ttl', '1h', '--x509-svid-ttl', '45m'] });
    const line = server.log.find((one) => one.level === 'warn')!;
    assert.equal(line.always_kept, '30m');
  });
});
