/** A whole server whose bundle others fetch: go-spiffe in both profiles, restarts, attackers, and reserved paths. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext, test } from 'node:test';
import { SystemClock } from '../../src/base/clock.ts';
import { openRegistry } from '../../src/registry/registry.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { certificatesOf, pemOfAll } from '../../src/spiffe/certificates.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { documentFrom, fetchFrom, goSpiffe, rootsOf } from '../federation/fetch.ts';
import { makeCertificate } from '../support/certificates.ts';
import { recordingLog } from '../support/recording-log.ts';
import { run } from '../support/run.ts';
import { makePlace, type Place, ROOT, type Served, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { WorkloadClient } from '../support/workload-client.ts';

const ID = `spiffe://${TRUST_DOMAIN}/sidekey/server`;
const LISTEN = ['--federation-listen', '127.0.0.1:0', '--federation-refresh-hint', '1s'];
const UID = process.getuid!();
const SELECTORS = [`unix:uid:${UID}`];

async function portOf(server: Served): Promise<number> {
  return (await server.logged('the bundle endpoint listens')).port as number;
}

const sidekey = (server: Pick<Place, 'adminSocket'>, ...words: string[]) =>
  run([path.join(ROOT, 'bin/sidekey'), ...words, '--admin-socket', server.adminSocket]);

/** The end of a server that does not start. */
async function refused(place: Place, flags: readonly string[]): Promise<string> {
  const child = spawnServe(place, flags);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  assert.notEqual(code, 0);
  return stderr;
}

describe('the bundle endpoint of a server', { timeout: 180_000 }, () => {
  it('is read by go-spiffe, through rotations of root and JWT key, a taint and a restart', async (t) => {
    const go = await goSpiffe(t);
    if ('skip' in go) return t.skip(go.skip);
    const place = makePlace(t);
    // Long enough to look at the published root, also on a busy machine.
    const flags = [...LISTEN.with(3, '3s'), '--root-publish-time', '0s', '--jwt-publish-before', '0s'];
    let server = await serve(t, { place, flags });
    let port = await portOf(server);
    const url = () => `https://127.0.0.1:${port}/`;
    let known = await documentFrom(port);
    const read = await go.spiffe(TRUST_DOMAIN, url(), ID, known);
    assert.deepEqual(read, { x509: 1, jwt: 2, sequence: known.spiffe_sequence, hint: 3 });
    const other = await go.spiffe(TRUST_DOMAIN, url(), `spiffe://${TRUST_DOMAIN}/spire/server`, known);
    assert.match(other.error!, /unexpected ID "spiffe:\/\/ilinux\.io\/sidekey\/server"/);
    /** A partner's poll: with the bundle that it fetched last. */
    const poll = async () => {
      const got = await go.spiffe(TRUST_DOMAIN, url(), ID, known);
      assert.equal(got.error, undefined);
      known = await documentFrom(port, { roots: rootsOf(known), id: ID });
      return got;
    };
    await server.request('POST', '/v1/ca/rotate', { role: 'root' });
    const published = await poll();
    assert.equal(published.x509, 2);
    assert.ok(published.sequence! > read.sequence!);
    const signs = async () => (await server.request('GET', '/v1/ca')).body.authorities;
    const next = (await signs()).find(
      ({ role, state }: Record<string, string>) => role === 'root' && state === 'published',
    );
    assert.ok(Date.parse(next.fetched_at) - Date.parse(next.since) >= 14_990);
    const { stdout } = await sidekey(server, 'ca', 'show');
    assert.match(stdout, /It waits until other trust domains have fetched the bundle with it: five refresh hints\./);
    await server.logged('new root signs: all SVIDs are reissued');
    const rotated = await poll();
    assert.equal(rotated.sequence, published.sequence, 'the contents did not change');

    await server.stop();
    server = await serve(t, { place, flags });
    port = await portOf(server);
    assert.equal((await poll()).sequence, published.sequence);
    /** Taints the root that signs; returns when it has left the bundle. */
    const taint = async () => {
      const { id } = (await signs()).find(
        ({ role, state }: Record<string, string>) => role === 'root' && state === 'active',
      );
      await server.request('POST', `/v1/ca/${id}/taint`, undefined);
      while ((await signs()).some((one: { id: string }) => one.id === id)) await fetchFrom(port);
    };
    await taint();
    const tainted = await poll();
    assert.ok(tainted.sequence! > published.sequence!, 'the former root signs again, which partners know');
    await taint();
    // The endpoint gets its new SVID a moment after its new root signs.
    let lost = await go.spiffe(TRUST_DOMAIN, url(), ID, known);
    while (lost.error === undefined) lost = await go.spiffe(TRUST_DOMAIN, url(), ID, known);
    assert.match(lost.error!, /certificate signed by unknown authority/, 'a partner has to bootstrap anew');
    known = await documentFrom(port);
    assert.ok((await poll()).sequence! > tainted.sequence!);
    const text = (await sidekey(server, 'audit', 'list', '--limit', '20')).stdout;
    assert.doesNotMatch(text, /BEGIN/);
  });

  it('is watched by go-spiffe, each update of which authenticates the next fetch', async (t) => {
    const go = await goSpiffe(t);
    if ('skip' in go) return t.skip(go.skip);
    const server = await serve(t, { flags: [...LISTEN, '--root-publish-time', '0s'] });
    const port = await portOf(server);
    const watched = go.watch(TRUST_DOMAIN, `https://127.0.0.1:${port}/`, ID, await documentFrom(port));
    const first = await watched.next();
    assert.deepEqual([first.error, first.x509], [undefined, 1]);
    let before = first;
    // The endpoint's SVID is under the first new root when the second is fetched.
    for (const roots of [2, 3]) {
      await server.request('POST', '/v1/ca/rotate', { role: 'root' });
      let read = await watched.next();
      while (read.sequence === before.sequence) read = await watched.next();
      assert.deepEqual([read.error, read.x509], [undefined, roots]);
      const signs = async () => (await server.request('GET', '/v1/ca')).body.authorities as Record<string, string>[];
      // Published five refresh hints before it signs.
      while ((await signs()).some(({ role, state }) => role === 'root' && state === 'published')) await fetchFrom(port);
      before = read;
    }
  });

  it('has certificate files with https_web, which may be broken for a while', async (t) => {
    const go = await goSpiffe(t);
    if ('skip' in go) return t.skip(go.skip);
    const folder = tempDir(t);
    const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
    const options = { hosts: ['127.0.0.1'], isCa: false, keyUsage: undefined };
    const [one, two] = await Promise.all([makeCertificate(options), makeCertificate(options)]);
    const put = (which: typeof one, keyOf = which) => {
      writeFileSync(cert, which.pem);
      writeFileSync(key, keyOf.privateKey, { mode: 0o600 });
    };
    put(one);
    const files = ['--federation-cert-file', cert, '--federation-key-file', key];
    const place = makePlace(t);
    const server = await serve(t, { place, flags: [...LISTEN, '--federation-profile', 'https_web', ...files] });
    const port = await portOf(server);
    const url = `https://127.0.0.1:${port}/`;
    assert.equal((await go.web(TRUST_DOMAIN, url, one.pem)).x509, 1);
    assert.match((await go.web(TRUST_DOMAIN, url, two.pem)).error!, /certificate/);

    for (const spoil of [() => put(two, one), () => writeFileSync(key, 'x'), () => writeFileSync(cert, '')]) {
      const lines = () => server.log.filter(({ msg }) => /of the bundle endpoint was not reloaded/.test(String(msg)));
      const told = lines().length;
      spoil();
      process.kill(server.pid, 'SIGHUP');
      while (lines().length === told) await server.request('GET', '/healthz');
      assert.equal((await go.web(TRUST_DOMAIN, url, one.pem)).x509, 1, 'the former pair is served');
      const { warnings } = (await server.request('GET', '/readyz')).body;
      assert.match(warnings[0], /^certificate of the bundle endpoint: --federation-/);
    }
    const { stdout } = await sidekey(server, 'doctor');
    assert.match(stdout, /\[endpoint-certificate\]/);
    put(two);
    process.kill(server.pid, 'SIGHUP');
    await server.logged('the TLS certificate of the bundle endpoint has changed: new connections get it');
    assert.equal((await go.web(TRUST_DOMAIN, url, two.pem)).x509, 1);
    assert.equal((await server.request('GET', '/readyz')).body.warnings, undefined);
    put(two, one);
    await server.stop();
    const flags = [...LISTEN, '--federation-profile', 'https_web', ...files];
    assert.match(await refused(place, flags), /--federation-key-file: .*not the key of the certificate/);
  });

  it('cannot be stood in for by a workload of the trust domain', async (t) => {
    const server = await serve(t, { flags: LISTEN });
    const known = await documentFrom(await portOf(server));
    await server.request('POST', '/v1/entries', { spiffe_id: `spiffe://${TRUST_DOMAIN}/web`, selectors: SELECTORS });
    const { svids } = await new WorkloadClient(t, server.socket).x509Svids().next();
    const { x509Svid, x509SvidKey } = svids[0]!;
    const privateKey = Buffer.from(x509SvidKey).toString('base64');
    const thief = createServer(
      {
        cert: pemOfAll(certificatesOf(x509Svid)).toString(),
        key: `-----BEGIN PRIVATE KEY-----\n${privateKey}\n-----END PRIVATE KEY-----\n`,
      },
      (_, response) => response.end('{"keys":[]}'),
    ).listen(0, '127.0.0.1');
    t.after(() => thief.close());
    await once(thief, 'listening');
    const { port } = thief.address() as AddressInfo;
    const web = { roots: rootsOf(known), id: `spiffe://${TRUST_DOMAIN}/web` };
    assert.equal((await fetchFrom(port, web)).status, 200, 'its SVID itself is good');
    await assert.rejects(fetchFrom(port, { ...web, id: ID }), /unexpected ID URI:spiffe:\/\/ilinux\.io\/web/);
    const go = await goSpiffe(t);
    if ('skip' in go) return t.diagnostic(go.skip);
    const got = await go.spiffe(TRUST_DOMAIN, `https://127.0.0.1:${port}/`, ID, known);
    assert.match(got.error!, /unexpected ID "spiffe:\/\/ilinux\.io\/web"/);
  });

  it('stays there for others while clients hold connections open', async (t) => {
    const server = await serve(t, { flags: [...LISTEN, '--admin-max-connections', '8'] });
    const port = await portOf(server);
    const { connect } = await import('node:net');
    const greedy = Array.from({ length: 200 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
    t.after(() => greedy.forEach((socket) => void socket.destroy()));
    await Promise.all(greedy.map((socket) => once(socket, 'connect')));
    assert.equal((await fetchFrom(port)).status, 200);
    const metrics = (await server.request('GET', '/metrics')).body as string;
    const crowded = /sidekey_bundle_endpoint_requests_total\{result="crowded"\} (\d+)/.exec(String(metrics))![1];
    assert.ok(Number(crowded) >= 190);
    // The admin API has its own connections.
    assert.equal((await server.request('GET', '/readyz')).status, 200);
  });
});

const RESERVED = ['/sidekey', '/sidekey/server', '/sidekey/a/b', '/spire/server'].map(
  (one) => `spiffe://${TRUST_DOMAIN}${one}`,
);

test('no entry gets a reserved path, by any way in', { timeout: 120_000 }, async (t) => {
  const folder = tempDir(t);
  const place = makePlace(t);
  const server = await serve(t, { place });
  const { body: web } = await server.request('POST', '/v1/entries', {
    ...{ spiffe_id: `spiffe://${TRUST_DOMAIN}/web`, selectors: SELECTORS },
  });
  for (const id of RESERVED) {
    const says = (answer: { status: number; body: { errors?: { path: string; rule: string }[] } }, at: string) => {
      assert.equal(answer.status, 400, `${id} ${JSON.stringify(answer.body)}`);
      assert.match(answer.body.errors![0]!.rule, /reserved for the servers of the trust domain/);
      assert.equal(answer.body.errors![0]!.path, at);
    };
    const entry = { spiffe_id: id, selectors: SELECTORS };
    const entries = [entry];
    says(await server.request('POST', '/v1/entries', entry), '/spiffe_id');
    says(await server.request('POST', '/v1/entries', { entries }), '/entries/0/spiffe_id');
    says(await server.request('PUT', '/v1/entries', { source: 'ci', entries }), '/entries/0/spiffe_id');
    says(await server.request('PATCH', `/v1/entries/${web.id}`, { spiffe_id: id }), '/spiffe_id');
    says(await server.request('PUT', '/v1/aliases/a.example', { spiffe_id: id }), '/spiffe_id');
    const parts = { trust_domain: TRUST_DOMAIN, path: new URL(id).pathname };
    says(await server.request('POST', '/v1/entries', { ...entry, spiffe_id: parts }), '/spiffe_id');
    const create = await sidekey(server, 'entry', 'create', '--spiffe-id', id, '--selector', SELECTORS[0]!);
    assert.match(create.stderr, /reserved for the servers/);
    const update = await sidekey(server, 'entry', 'update', web.id, '--spiffe-id', id);
    assert.match(update.stderr, /reserved for the servers/);
    const file = path.join(folder, 'entries.yaml');
    writeFileSync(file, JSON.stringify({ entries }));
    const apply = await sidekey(server, 'apply', '--source', 'ci', '-f', file);
    assert.match(apply.stderr, /reserved for the servers/);
    assert.match(await refused(makePlace(t), ['--entries', file]), /reserved for the servers/);
  }
  for (const template of ['/sidekey/{unix.user}', '/SideKey/{unix.user}']) {
    const entry = { spiffe_id: `spiffe://${TRUST_DOMAIN}${template}`, selectors: SELECTORS };
    const { status, body } = await server.request('POST', '/v1/entries', entry);
    assert.deepEqual([status, body.errors[0].rule], [400, 'a template renders nothing below /spire and /sidekey']);
  }
  assert.equal((await server.request('GET', '/v1/entries')).body.entries.length, 1);
});

/** Stores an entry as an earlier version accepted it. */
async function storeEntry(dataDir: string, spiffeId: string): Promise<void> {
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const { log } = recordingLog();
  const store = openSqliteStore({ path: path.join(dataDir, 'sidekey.db'), trustDomain, onMigrated: () => undefined });
  const registry = await openRegistry({ store, trustDomain, clock: new SystemClock(), log });
  const input = { spiffeId: parseSpiffeId(spiffeId), selectors: [{ type: 'unix', value: `uid:${UID}` }] };
  const rest = { dnsNames: [], federatesWith: [], hint: '', x509SvidTtl: 0, jwtSvidTtl: 0, x509SvidKeyType: '' };
  const more = { id: 'old', parentId: '', expiresAt: 0, allowContained: false };
  await registry.create([{ ...input, ...rest, ...more } as never], 'api');
  await registry.close();
  await store.close();
}

test('a stored entry with a reserved path goes on, doctor names it, and it may not be that of the endpoint', async (t: TestContext) => {
  const place = makePlace(t);
  await (await serve(t, { place })).stop();
  await storeEntry(place.dataDir, ID);
  assert.match(
    await refused(place, LISTEN),
    /--federation-listen: the entry old has the SPIFFE ID of the bundle endpoint, .*could stand in for the endpoint/,
  );
  const server = await serve(t, {
    place,
    flags: [...LISTEN, '--federation-spiffe-id', `spiffe://${TRUST_DOMAIN}/sidekey/endpoint`],
  });
  const { svids } = await new WorkloadClient(t, server.socket).x509Svids().next();
  assert.equal(svids[0]!.spiffeId, ID);
  const { stdout } = await sidekey(server, 'doctor');
  assert.match(
    stdout,
    /entry old: warning: the entry of spiffe:\/\/ilinux\.io\/sidekey\/server still works: .*\[entry-reserved\]/,
  );
  assert.equal((await server.request('PATCH', '/v1/entries/old', { x509_svid_ttl: '30m' })).status, 200);
  assert.equal((await server.request('PATCH', '/v1/entries/old', { spiffe_id: `${ID}/x` })).status, 400);
});

test('bundle publish writes the document once, and --federation-publish-file keeps it written', async (t) => {
  const folder = path.join(tempDir(t), 'public');
  mkdirSync(folder, { mode: 0o755 });
  const [once, kept] = [path.join(folder, 'once.json'), path.join(folder, 'kept.json')];
  const place = makePlace(t);
  const plain = await serve(t, { place });
  const unaware = await sidekey(plain, 'bundle', 'publish', once, '-o', 'json');
  assert.match(unaware.stderr, /the server does not know that the bundle is published/);
  const { spiffe_sequence } = JSON.parse(unaware.stdout);
  assert.equal(JSON.parse(readFileSync(once, 'utf8')).spiffe_sequence, spiffe_sequence);
  await plain.stop();
  const server = await serve(t, { place, flags: ['--federation-publish-file', kept] });
  assert.equal((await sidekey(server, 'bundle', 'publish', once)).stderr, '');
  assert.deepEqual(JSON.parse(readFileSync(kept, 'utf8')), JSON.parse(readFileSync(once, 'utf8')));
  await server.request('POST', '/v1/ca/rotate', { role: 'root' });
  assert.equal(JSON.parse(readFileSync(kept, 'utf8')).keys.length, 4);
  const failed = await sidekey(server, 'bundle', 'publish', path.join(folder, 'no', 'bundle.json'));
  assert.match(failed.stderr, /no\/bundle\.json cannot be written: ENOENT/);
});
