/** `serve` with each kind of upstream authority: a program, a real OpenBao, files that are broken, real Envoys on two servers. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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
import { chainOf, openStream, secretOf } from '../support/sds-client.ts';
import { ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
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

describe('serve --check with an upstream', () => {
  const check = (t: TestContext, flags: readonly string[]) => {
    const folder = tempDir(t);
    const place = [
      '--trust-domain',
      TRUST_DOMAIN,
      '--data-dir',
      path.join(folder, 'data'),
      '--socket',
      path.join(folder, 'run/agent.sock'),
    ];
    return spawnSync(
      path.join(ROOT, 'bin/sidekey'),
      ['serve', '--check', ...place, ...flags, '--allow-unpinned-peers'],
      { encoding: 'utf8' },
    );
  };

  it('finds nothing in good files', async (t) => {
    const { status, stderr } = check(t, (await writePki(tempDir(t))).flags);
    assert.equal(status, 0, stderr);
  });

  it('names what is broken', async (t) => {
    const { flags, folder } = await writePki(tempDir(t));
    chmodSync(path.join(folder, 'ca.key'), 0o644);
    const { status, stdout, stderr } = check(t, flags);
    assert.equal(status, 1);
    assert.match(stdout + stderr, /the upstream authority \(disk .*ca\.crt\): .*ca\.key: it is open to others/);
  });
});
