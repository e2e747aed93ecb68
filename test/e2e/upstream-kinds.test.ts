/** `serve` with each kind of upstream authority: a program, a real OpenBao, files that are broken, real Envoys on two servers. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { type Ca, ID, makeCa } from '../ca/upstream/pki.ts';
import { sidekey } from '../cli/support.ts';
import { startIdentified } from '../envoy/support.ts';
import { envoyForTests } from '../support/envoy.ts';
import { fetchCredentials } from '../support/mtls-client.ts';
import { openBaoForTests, startOpenBao } from '../support/openbao.ts';
import { until } from '../support/process-state.ts';
import { chainOf, openStream, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, serveArguments } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const WEB = `${ID}/web`;
const FRONT = `${ID}/front`;
const DAY = 86_400_000;

interface Pki {
  readonly folder: string;
  readonly root: Ca;
  readonly flags: readonly string[];
}

/** Writes an issuer under a root into the folder, in one step each. */
async function writePki(folder: string, name = 'root'): Promise<Pki> {
  const times = { notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY };
  const root = await makeCa({ ...times, name });
  const issuer = await makeCa({ ...times, name: `issuer of ${name}` }, root);
  const put = (file: string, content: string) => {
    const place = path.join(folder, file);
    writeFileSync(`${place}.new`, content, { mode: 0o600 });
    renameSync(`${place}.new`, place);
    return place;
  };
  const key = put('ca.key', issuer.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string);
  const bundle = put('root.crt', root.certificate.toString());
  const cert = put('ca.crt', issuer.certificate.toString());
  const disk = ['--upstream', 'disk', '--upstream-cert-file', cert, '--upstream-key-file', key];
  return { folder, root, flags: [...disk, '--upstream-bundle-file', bundle] };
}

async function addWeb(server: Served): Promise<void> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
}

const open = (t: TestContext, server: Served, ...names: string[]) => openStream(t, server.socket, ...names);

/** The subjects of what a client verifies with: its chain without the SVID, then its roots. */
async function subjects(server: Served): Promise<{ chain: string[]; roots: string[] }> {
  // The first intermediate comes after the start.
  const look = async () => (await server.request('GET', '/readyz')).status;
  await wait('the server to be ready', { look, until: (status) => status === 200 });
  const { cert, ca } = await fetchCredentials(server.socket, WEB);
  const list = (pem: string) =>
    (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
      (block) => new X509Certificate(block).subject,
    );
  return { chain: list(cert).slice(1), roots: list(ca) };
}

const bao = await openBaoForTests();
const envoy = await envoyForTests();

describe('serve with an upstream', { timeout: 120_000 }, () => {
  it('that is a program', async (t) => {
    const { folder } = await writePki(tempDir(t));
    const program = path.join(folder, 'upstream-openssl');
    copyFileSync(path.join(ROOT, 'examples/upstream-openssl'), program);
    chmodSync(program, 0o755);
    const flags = ['--upstream', 'command', '--upstream-command', program, '--upstream-command', folder];
    const server = await serve(t, { flags });
    await addWeb(server);
    const { chain, roots } = await subjects(server);
    assert.deepEqual([chain[1], roots], ['CN=issuer of root', ['CN=root']]);
  });

  it('that is an OpenBao', { skip: bao.skip }, async (t) => {
    assert.ok(bao.skip === false);
    const { server: vault, ask, rootToken, stop } = await startOpenBao(bao.file);
    t.after(stop);
    await ask('POST', 'sys/mounts/pki', { type: 'pki' });
    await ask('POST', 'pki/root/generate/internal', { common_name: 'root', key_type: 'ec' });
    const token = path.join(tempDir(t), 'token');
    writeFileSync(token, rootToken, { mode: 0o600 });
    const flags = ['--upstream', 'vault', '--vault-addr', vault.address, '--vault-ca-file', vault.caFile];
    const server = await serve(t, { flags: [...flags, '--vault-token-file', token] });
    await addWeb(server);
    const { chain, roots } = await subjects(server);
    assert.deepEqual([chain.length, roots], [1, ['CN=root']]);
    assert.ok(!JSON.stringify(server.log).includes(rootToken));
  });

  it('in the same files as another server: Envoys on both talk by mTLS', { skip: envoy.skip }, async (t) => {
    assert.ok(envoy.skip === false);
    const { flags } = await writePki(tempDir(t));
    const [one, two] = await Promise.all([serve(t, { flags }), serve(t, { flags })]);
    const app = createServer((request, response) => {
      response.end(`hello ${request.headers['x-forwarded-client-cert']}`);
    }).listen(0, '127.0.0.1');
    t.after(() => app.close());
    await once(app, 'listening');
    const { port } = app.address() as AddressInfo;
    const [mtls, local] = (await freePorts(2)) as [number, number];
    const [web, front] = [{ spiffeId: WEB }, { spiffeId: FRONT }];
    const server = { ...web, listen: `127.0.0.1:${mtls}`, to: `127.0.0.1:${port}`, allow: [FRONT] };
    const client = { ...front, upstream: [`web=127.0.0.1:${mtls},${WEB}`], local: [`web=127.0.0.1:${local}`] };
    await startIdentified(t, one, envoy.envoy.path, server);
    await startIdentified(t, two, envoy.envoy.path, client);
    const answer = await call(`http://127.0.0.1:${local}/`);
    assert.equal(answer.status, 200, answer.body);
    assert.match(answer.body, new RegExp(`^hello .*URI=${FRONT}`));
  });

  it('that is broken at the first start: no SVID and a reason, until it is mended', async (t) => {
    const { folder, flags } = await writePki(tempDir(t));
    rmSync(path.join(folder, 'ca.key'));
    const server = await serve(t, { flags });
    await addWeb(server);
    const line = await server.loggedLike(/files of the upstream are broken/);
    assert.match(String(line.problem), /ca\.key: ENOENT/);
    const ready = await server.request('GET', '/readyz');
    assert.equal(ready.status, 503);
    assert.match(JSON.stringify(ready.body), /ca\.key/);
    const stream = open(t, server, WEB);
    await writePki(folder);
    assert.equal(chainOf(secretOf(await stream.next(), WEB)).length, 3);
  });

  it('that is broken while the server runs: the last good files sign until a restart, and ca and doctor say so', async (t) => {
    const { folder, flags } = await writePki(tempDir(t));
    const server = await serve(t, { flags });
    await addWeb(server);
    await subjects(server);
    writeFileSync(path.join(folder, 'ca.crt'), 'broken');
    await server.loggedLike(/files of the upstream are broken: the last good ones stay in use/);
    const env = { SIDEKEY_ADMIN_SOCKET: server.adminSocket };
    const rotated = await sidekey(['ca', 'rotate'], { env });
    assert.equal(rotated.status, 0, rotated.stderr);
    assert.match(
      rotated.stdout,
      /The files are broken; the last good ones still sign, until a restart: \S+ca\.crt has no certificate\n/,
    );
    assert.doesNotMatch(rotated.stdout, /cannot sign/);
    const { stdout } = await sidekey(['doctor'], { env });
    assert.match(
      stdout,
      /\[upstream\]\n {2}why: the last good files still sign, until a restart; .*\n {2}fix: .*reads the files again within 5 seconds/,
    );
  });

  it('that is broken later: the intermediate goes on, also after a restart, and ca show says why', async (t) => {
    const { folder, flags } = await writePki(tempDir(t));
    const server = await serve(t, { flags });
    await addWeb(server);
    await subjects(server);
    await server.stop();
    writeFileSync(path.join(folder, 'ca.crt'), 'broken');
    const again = await serve(t, { place: server, flags });
    assert.deepEqual((await subjects(again)).roots, ['CN=root']);
    const { stdout } = await sidekey(['ca', 'show'], { env: { SIDEKEY_ADMIN_SOCKET: again.adminSocket } });
    assert.match(stdout, /ca\.crt has no certificate/);
    assert.equal((await again.request('GET', '/readyz')).status, 200);
  });
});

describe('serve --check with an upstream says what a start does', { timeout: 240_000 }, () => {
  const check = (place: Place, flags: readonly string[]) =>
    sidekey(serveArguments(place, ['--check', '--allow-unpinned-peers', ...flags]));

  /** The check, then the start: the check may fail only where the start fails. */
  async function checkAndServe(t: TestContext, place: Place, flags: readonly string[]) {
    const checked = await check(place, flags);
    assert.equal(checked.status, 0, checked.stderr);
    assert.match(checked.stdout, /a start with these settings would work\n$/);
    return { ...checked, server: await serve(t, { place, flags }) };
  }

  /** A data directory with an intermediate that these flags made. */
  async function signedOnce(t: TestContext, flags: readonly string[]): Promise<Place> {
    const server = await serve(t, { flags });
    await addWeb(server);
    await subjects(server);
    await server.stop();
    return server;
  }

  it('finds nothing in good files', async (t) => {
    const { stdout, stderr } = await checkAndServe(t, makePlace(t), (await writePki(tempDir(t))).flags);
    assert.equal(stderr, '');
    assert.match(stdout, /a new intermediate would be requested from the upstream \(disk \S+\)\n/);
    assert.doesNotMatch(stdout, /a new root and intermediate/);
    assert.match(stdout, /the upstream \(disk \S+\): its files sign\n/);
  });

  it('a fault at a first start: a warning, and that nothing can be issued', async (t) => {
    const { flags, folder } = await writePki(tempDir(t));
    chmodSync(path.join(folder, 'ca.key'), 0o644);
    const { stdout, stderr, server } = await checkAndServe(t, makePlace(t), flags);
    assert.match(
      stderr,
      /^sidekey: warning: the upstream authority \(disk .*ca\.crt\): .*ca\.key: it is open to others.* \(ERR_UPSTREAM\)/,
    );
    assert.match(
      stdout,
      /the server would start, but issue no certificate until the upstream has signed an intermediate\n/,
    );
    assert.equal((await server.request('GET', '/readyz')).status, 503);
  });

  it('a key that does not belong, while the stored intermediate is valid: a warning, and until when it signs', async (t) => {
    const { flags, folder } = await writePki(tempDir(t));
    const place = await signedOnce(t, flags);
    const other = await writePki(tempDir(t), 'other');
    copyFileSync(path.join(other.folder, 'ca.key'), path.join(folder, 'ca.key'));
    const { stdout, stderr, server } = await checkAndServe(t, place, flags);
    assert.match(stderr, /warning: .*the key in \S+ does not belong to a certificate in \S+ \(ERR_UPSTREAM\)/);
    assert.match(stdout, /would start and sign with the stored intermediate, which ends at 2/);
    assert.deepEqual((await subjects(server)).roots, ['CN=root']);
  });

  it('another upstream than before: a new root would be published', async (t) => {
    const [one, two] = [await writePki(tempDir(t)), await writePki(tempDir(t), 'second')];
    const place = await signedOnce(t, one.flags);
    const published = async (flags: readonly string[]) => {
      const { stdout } = await check(place, flags);
      return /^.*a new root would be published$/m.exec(stdout)?.[0];
    };
    assert.equal(await published(one.flags), undefined);
    assert.equal(
      await published([]),
      'the upstream changes from an upstream authority (CN=root) to own roots: a new root would be published',
    );
    assert.equal(
      await published(two.flags),
      'the upstream has another root (CN=second) than the stored one (CN=root): a new root would be published',
    );
    const own = await serve(t, {});
    await own.stop();
    const { stdout } = await check(own, one.flags);
    assert.match(stdout, /the upstream changes from own roots to disk \S+: a new root would be published\n/);
    const offline = await check(own, ['--offline-root']);
    assert.match(
      offline.stdout,
      /the upstream changes from own roots to an offline root: a new root would be published\n/,
    );
    // As it says: the start publishes the second root.
    const server = await serve(t, { place: own, flags: one.flags });
    await server.loggedLike(/root of the upstream/);
  });

  it('an offline root: its request', async (t) => {
    const place = makePlace(t);
    const { stdout, server } = await checkAndServe(t, place, ['--offline-root']);
    assert.match(stdout, /a request to the offline root would be written to \S+\/ca\/request\.csr\n/);
    assert.doesNotMatch(stdout, /new root/);
    await until(() => existsSync(path.join(place.dataDir, 'ca/request.csr')));
    await server.stop();
    assert.match(
      (await check(place, ['--offline-root'])).stdout,
      /the request \S+request\.csr waits for the offline root's answer/,
    );
  });

  it('a Vault that is down, may not be signed at, or has no such mount', { skip: bao.skip }, async (t) => {
    assert.ok(bao.skip === false);
    const { server: vault, ask, rootToken, stop } = await startOpenBao(bao.file);
    t.after(stop);
    await ask('POST', 'sys/mounts/pki', { type: 'pki' });
    await ask('POST', 'pki/root/generate/internal', { common_name: 'root', key_type: 'ec' });
    const token = path.join(tempDir(t), 'token');
    const at = (text: string, ...more: string[]) => {
      writeFileSync(token, text, { mode: 0o600 });
      const flags = ['--upstream', 'vault', '--vault-addr', vault.address, '--vault-ca-file', vault.caFile];
      return [...flags, '--vault-token-file', token, ...more];
    };
    const flags = at(rootToken);
    const place = await signedOnce(t, flags);
    assert.match(
      (await check(place, flags)).stdout,
      /the upstream \(vault \S+ pki\): logged in, and the token may sign; signing was not tried\n/,
    );
    const faultOf = async (flags: readonly string[]) => (await check(place, flags)).stderr;
    assert.match(
      await faultOf(at(rootToken, '--vault-mount', 'pkii')),
      /warning: .*status 404.*is a PKI engine mounted at pkii \(--vault-mount\)\?/,
    );
    const { auth } = await ask('POST', 'auth/token/create', { policies: ['default'] });
    assert.match(
      await faultOf(at(auth.client_token!)),
      /warning: .*the token may not sign: the policy of the token needs: path "pki\/root\/sign-intermediate"/,
    );
    await ask('POST', 'sys/policies/acl/blind', {
      policy: 'path "auth/token/lookup-self" { capabilities = ["read"] }',
    });
    const { auth: blind } = await ask('POST', 'auth/token/create', { policies: ['blind'], no_default_policy: true });
    assert.match((await check(place, at(blind.client_token!))).stdout, /: logged in; signing was not tried\n/);
    const [port] = (await freePorts(1)) as [number];
    const down = await checkAndServe(t, place, at(rootToken, '--vault-addr', `https://127.0.0.1:${port}`));
    assert.match(down.stderr, /warning: the upstream authority \(vault .*it cannot be reached: .*ECONNREFUSED/);
    assert.match(down.stdout, /sign with the stored intermediate, which ends at 2/);
    assert.deepEqual((await subjects(down.server)).roots, ['CN=root']);
  });
});
