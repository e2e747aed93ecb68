/** Revocation by a real server and its command line, judged by openssl from the bundle that the server publishes. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import type { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { makeCa } from '../ca/upstream/pki.ts';
import { chainOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const UID = process.getuid!();
const ID = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
const HOLD = ['--reason', 'certificate-hold'];

async function sidekey({ adminSocket }: Pick<Place, 'adminSocket'>, ...args: string[]) {
  const env = { ...process.env, SIDEKEY_ADMIN_SOCKET: adminSocket };
  const done = await run(path.join(ROOT, 'bin/sidekey'), args, { env, encoding: 'utf8' }).catch((error) => error);
  return {
    status: (done.code as number | undefined) ?? 0,
    stdout: done.stdout as string,
    stderr: done.stderr as string,
  };
}

async function make(server: Served, name: string): Promise<string> {
  const selectors = [{ type: 'unix', value: `uid:${UID}` }];
  const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: ID(name), selectors });
  assert.equal(status, 201);
  return body.id;
}

/** Leaf and intermediate that a caller gets. */
async function fetch(t: TestContext, { socket }: Place, name: string): Promise<readonly X509Certificate[]> {
  const client = new SdsClient(socket);
  t.after(() => client.close());
  return chainOf(secretOf(await client.fetch({ resourceNames: [ID(name)] }), ID(name)));
}

/** What openssl says of a chain, with the bundle that the server publishes now. */
async function verdict(t: TestContext, place: Pick<Place, 'adminSocket'>, chain: readonly X509Certificate[]) {
  const { stdout: bundle } = await sidekey(place, 'bundle', 'show', '--lists');
  const dir = tempDir(t);
  const [leaf, ...above] = chain.map(String);
  const files = { bundle, leaf: leaf!, above: above.join('') };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  const checks = bundle.includes('X509 CRL') ? ['-crl_check_all'] : [];
  const args = ['verify', ...checks, '-CAfile', 'bundle', '-untrusted', 'above', 'leaf'];
  const { stdout, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8' });
  if (/certificate revoked/.test(stdout + stderr)) return 'revoked';
  return /: OK/.test(stdout) ? 'good' : stdout + stderr;
}

describe('revocation by a server', { concurrency: 2, timeout: 250_000 }, () => {
  it('holds for one certificate, beside others, over a restart, and until it is undone', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    for (const name of ['a', 'b']) await make(server, name);
    const [a, b] = [await fetch(t, place, 'a'), await fetch(t, place, 'b')];
    const both = async (at: Served) => [await verdict(t, at, a), await verdict(t, at, b)];
    assert.deepEqual(await both(server), ['good', 'good']);
    const revoked = await sidekey(server, 'revoke', '--serial', a[0]!.serialNumber, ...HOLD, '-o', 'json');
    assert.deepEqual([revoked.status, revoked.stderr], [0, '']);
    assert.equal(JSON.parse(revoked.stdout).revoked.length, 1);
    assert.deepEqual(await both(server), ['revoked', 'good']);
    assert.doesNotMatch((await sidekey(server, 'bundle', 'show')).stdout, /X509 CRL/, 'others could not read it');
    assert.equal(await verdict(t, server, await fetch(t, place, 'a')), 'good', 'the holder has a new one');
    await server.stop();
    const again = await serve(t, { place });
    assert.deepEqual(await both(again), ['revoked', 'good']);
    const undone = await sidekey(again, 'revoke', 'undo', '--serial', a[0]!.serialNumber);
    assert.equal(undone.status, 0, undone.stderr);
    assert.deepEqual(await both(again), ['good', 'good']);
    assert.doesNotMatch((await sidekey(again, 'bundle', 'show', '--lists')).stdout, /X509 CRL/);
    const { stdout: rows } = await sidekey(again, 'audit', 'list', '--serial', a[0]!.serialNumber, '-o', 'json');
    const actions = JSON.parse(rows).rows.map(({ action }: { action: string }) => action);
    assert.deepEqual(actions, ['svid.restored', 'svid.revoked', 'svid.issued']);
    assert.equal((await sidekey(again, 'audit', 'verify')).status, 0);
  });

  it('ends what a deleted entry had, also after its deletion, and is in a backup', async (t) => {
    const server = await serve(t);
    const [deleted, gone] = [await make(server, 'a'), await make(server, 'b')];
    const [a, b] = [await fetch(t, server, 'a'), await fetch(t, server, 'b')];
    const first = await sidekey(server, 'entry', 'delete', deleted, '--revoke');
    assert.equal(first.status, 0, first.stderr);
    assert.deepEqual([await verdict(t, server, a), await verdict(t, server, b)], ['revoked', 'good']);
    assert.equal((await sidekey(server, 'entry', 'delete', gone)).status, 0);
    assert.equal(await verdict(t, server, b), 'good');
    const second = await sidekey(server, 'revoke', '--entry', gone);
    assert.equal(second.status, 0, second.stderr);
    assert.equal(await verdict(t, server, b), 'revoked');
    const file = path.join(server.directory, 'b.tar');
    const backup = await sidekey(server, 'backup', file, '--plain');
    assert.equal(backup.status, 0, backup.stderr);
    await server.stop();
    const place = makePlace(t);
    const restored = await sidekey(place, 'restore', file, '--plain', '--data-dir', place.dataDir);
    assert.equal(restored.status, 0, restored.stderr);
    assert.match(restored.stderr, /revocations, so that a certificate that was revoked since then is accepted again/);
    const again = await serve(t, { place });
    assert.deepEqual([await verdict(t, again, a), await verdict(t, again, b)], ['revoked', 'revoked']);
    const { body } = await again.request('GET', '/v1/revocations');
    assert.equal(body.total, 2);
  });
});

it('is told when a change of the settings lets revoked certificates be accepted again', async (t) => {
  const place = makePlace(t);
  const server = await serve(t, { place });
  const id = await make(server, 'a');
  await fetch(t, place, 'a');
  assert.equal((await sidekey(server, 'revoke', '--entry', id)).status, 0);
  await server.stop();
  const day = 86_400_000;
  const root = await makeCa({ notBefore: Date.now() - day, notAfter: Date.now() + 30 * day, name: 'root' });
  const [cert, key] = ['ca.crt', 'ca.key'].map((name) => path.join(tempDir(t), name)) as [string, string];
  writeFileSync(cert, root.certificate.toString(), { mode: 0o600 });
  writeFileSync(key, root.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  const flags = ['--upstream', 'disk', '--upstream-cert-file', cert, '--upstream-key-file', key];
  const checked = await sidekey(
    place,
    'serve',
    '--check',
    '--trust-domain',
    TRUST_DOMAIN,
    '--data-dir',
    place.dataDir,
    ...flags,
  );
  assert.match(checked.stdout, /^1 revoked certificate would be accepted again until it ends: with an upstream/m);
  const again = await serve(t, { place, flags });
  await again.logged('revoked certificates are accepted: there can be no revocation lists now');
  const { body } = await again.request('GET', '/readyz');
  assert.match(JSON.stringify(body.warnings), /revoked certificates are accepted: the roots belong to the upstream/);
  const { stdout } = await sidekey(again, 'doctor', '-o', 'json');
  const found = JSON.parse(stdout).findings.find(({ rule }: { rule: string }) => rule === 'revoked-accepted');
  assert.match(found.problem, /1 revoked certificate is accepted until it ends/);
  const refused = await sidekey(again, 'revoke', '--spiffe-id', ID('a'));
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /nothing can be revoked: the roots belong to the upstream/);
});
