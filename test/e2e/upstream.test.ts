/** Intermediates that others sign: an offline root by openssl, and one set of files for two servers with real Envoys. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { ID, makeCa } from '../ca/upstream/pki.ts';
import { sidekey } from '../cli/support.ts';
import { run } from '../support/run.ts';
import { chainOf, openStream, rootsOf, secretOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const YEAR = 365 * 86_400_000;
const VALID_NOW = { notBefore: Date.now() - 60_000, notAfter: Date.now() + YEAR };

async function createWeb(server: Served): Promise<void> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
}

/** The first intermediate comes after the start; before it, a bundle would come alone. */
async function ready(server: Served): Promise<void> {
  const look = async () => (await server.request('GET', '/readyz')).status;
  await wait('the server to be ready', { look, until: (status) => status === 200 });
}

const open = (t: TestContext, server: Served, ...names: string[]) => openStream(t, server.socket, ...names);

async function ca(
  server: Served,
  ...args: string[]
): Promise<{ status: number | null; json: AuthoritiesJson; stderr: string }> {
  const { status, stdout, stderr } = await sidekey(['ca', ...args, '-o', 'json'], {
    env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket },
  });
  return { status, json: status === 0 ? JSON.parse(stdout) : undefined, stderr };
}

/** Runs a block of docs/upstreams.md. */
async function example(name: string, cwd: string): Promise<void> {
  const text = readFileSync(path.join(ROOT, 'docs/upstreams.md'), 'utf8');
  const [, commands] = new RegExp(`<!-- run: ${name} -->\\n\`\`\`\\n([^\`]+)\`\`\``).exec(text) ?? [];
  assert.ok(commands, `docs/upstreams.md has no example ${name}`);
  const { status, stderr } = await run(['sh', '-eu', '-c', `cd ${cwd}; ${commands}`]);
  assert.equal(status, 0, stderr);
}

/** A root in a folder of its own, made as the documents say, and what signs requests under it. */
async function offlineRoot(t: TestContext) {
  const { directory } = makePlace(t);
  await example('offline root', directory);
  const sign = async (csr: string, withRoot = true) => {
    writeFileSync(path.join(directory, 'request.csr'), csr);
    await example('offline signature', directory);
    return path.join(directory, withRoot ? 'answer.pem' : 'signed.crt');
  };
  return { directory, sign };
}

describe('serve --offline-root', { timeout: 120_000 }, () => {
  it('writes a request, is not ready, and signs SVIDs when its answer has been imported', async (t) => {
    const root = await offlineRoot(t);
    const flags = ['--offline-root', '--ca-key-type', 'ec-p384'];
    const server = await serve(t, { flags });
    await createWeb(server);
    const stream = open(t, server, WEB, BUNDLE);
    let shown = (await ca(server, 'show')).json;
    while (shown.upstream!.request === null) shown = (await ca(server, 'show')).json;
    const { csr, file } = shown.upstream!.request;
    assert.equal(readFileSync(file, 'utf8'), csr);
    const ready = await server.request('GET', '/readyz');
    assert.equal(ready.status, 503);
    assert.match(ready.body.detail, /have the offline root sign the request/);

    const bad = path.join(root.directory, 'bad.pem');
    writeFileSync(bad, (await makeCa({ uris: [ID] })).certificate.toString());
    const refused = await ca(server, 'import', bad);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /the answer is refused: .*ERR_UPSTREAM/s);

    await server.stop('SIGKILL');
    const passphrase = path.join(root.directory, 'passphrase');
    writeFileSync(passphrase, 'correct horse battery staple\n', { mode: 0o600 });
    const again = await serve(t, { place: server, flags: [...flags, '--key-passphrase-file', passphrase] });
    const key = path.join(again.dataDir, 'ca/request.key');
    // The request is read in the background.
    while (!readFileSync(key, 'utf8').startsWith('-----BEGIN ENCRYPTED PRIVATE KEY-----')) await ca(again, 'show');
    const answer = await root.sign(csr);
    // A root that has not signed it is not taken with it.
    writeFileSync(
      answer,
      `${(await makeCa({ name: 'stranger', ...VALID_NOW })).certificate}${readFileSync(answer, 'utf8')}`,
    );
    const imported = await ca(again, 'import', answer);
    assert.equal(imported.status, 0, imported.stderr);
    assert.deepEqual(
      imported.json.authorities.map(({ role, state }) => `${role} ${state}`),
      ['root active', 'intermediate active', 'jwt active', 'jwt published'],
    );
    assert.equal(imported.json.upstream!.request, null);
    assert.ok(!existsSync(file));
    assert.equal((await again.request('GET', '/readyz')).status, 200);
    stream.cancel();
    const now = open(t, again, WEB, BUNDLE);
    const first = await now.next();
    const [leaf, intermediate] = chainOf(secretOf(first, WEB));
    const [offline] = rootsOf(secretOf(first, BUNDLE));
    assert.equal(intermediate!.publicKey.asymmetricKeyDetails!.namedCurve, 'secp384r1');
    assert.ok(leaf!.verify(intermediate!.publicKey) && intermediate!.verify(offline!.publicKey));
    assert.equal((await ca(again, 'import', await root.sign(csr))).status, 1);
    // No key of a root is here, and none of an SVID: that of the intermediate, and two that sign tokens.
    const keys = readdirSync(path.join(again.dataDir, 'ca')).filter((name) => {
      return readFileSync(path.join(again.dataDir, 'ca', name), 'utf8').includes('PRIVATE KEY');
    });
    assert.equal(keys.length, 3);
    for (const name of keys) {
      assert.match(readFileSync(path.join(again.dataDir, 'ca', name), 'utf8'), /ENCRYPTED PRIVATE KEY/);
    }

    // A refused answer does not stand in the way of a good one.
    const other = await offlineRoot(t);
    await ca(again, 'rotate');
    const request = (await ca(again, 'show')).json.upstream!.request!.csr;
    writeFileSync(bad, (await makeCa({ uris: [ID], ...VALID_NOW })).certificate.toString());
    assert.equal((await ca(again, 'import', bad)).status, 1);
    const moved = await ca(again, 'import', await other.sign(request));
    assert.equal(moved.status, 0, moved.stderr);
    assert.ok(moved.json.authorities.some(({ role, state }) => role === 'root' && state === 'published'));

    // The next one needs no root in the answer.
    const next = await ca(again, 'rotate');
    assert.equal(next.status, 0, next.stderr);
    const renewal = next.json.upstream!.request!.csr;
    assert.notEqual(renewal, csr);
    const renewed = await ca(again, 'import', await root.sign(renewal, false));
    assert.equal(renewed.status, 0, renewed.stderr);
  });

  it('is refused beside an upstream, and an import without it', async (t) => {
    const server = await serve(t);
    const place = makePlace(t);
    writeFileSync(path.join(place.directory, 'x.pem'), '');
    const { status, stderr } = await ca(server, 'import', path.join(place.directory, 'x.pem'));
    assert.equal(status, 1);
    assert.match(stderr, /own roots sign the intermediates: sidekey ca import needs --offline-root/);
  });
});

async function diskUpstream(t: TestContext): Promise<{ place: Place; flags: string[]; replace(): Promise<void> }> {
  const place = makePlace(t);
  const folder = path.join(place.directory, 'pki');
  mkdirSync(folder, { mode: 0o700 });
  const write = async () => {
    const now = Date.now();
    const dates = { notBefore: now - 60_000, notAfter: now + YEAR };
    const root = await makeCa({ name: `root ${now}`, ...dates });
    const issuer = await makeCa({ name: 'issuer', ...dates }, root);
    const files = {
      'bundle.pem': String(root.certificate),
      'issuer.pem': String(issuer.certificate),
      'issuer.key': issuer.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text, { mode: 0o600 });
  };
  await write();
  const file = (name: string) => path.join(folder, name);
  return {
    place,
    flags: [
      ...['--upstream', 'disk', '--upstream-cert-file', file('issuer.pem'), '--upstream-key-file', file('issuer.key')],
      ...['--upstream-bundle-file', file('bundle.pem')],
    ],
    replace: write,
  };
}

describe('serve --upstream disk', { timeout: 120_000 }, () => {
  it('makes two servers one trust domain, whose chains have three certificates below the root', async (t) => {
    const { flags } = await diskUpstream(t);
    const [one, other] = [await serve(t, { flags }), await serve(t, { flags })];
    const got = [];
    for (const server of [one, other]) {
      await createWeb(server);
      await ready(server);
      const secrets = await open(t, server, WEB, BUNDLE).next();
      got.push({ chain: chainOf(secretOf(secrets, WEB)), roots: rootsOf(secretOf(secrets, BUNDLE)) });
    }
    assert.deepEqual(
      got.map(({ chain, roots }) => [chain.length, roots.length]),
      [
        [3, 1],
        [3, 1],
      ],
    );
    assert.ok(got[0]!.roots[0]!.raw.equals(got[1]!.roots[0]!.raw));
    for (const { chain, roots } of got) {
      const path = [...chain, roots[0]!];
      for (const [i, certificate] of chain.entries()) assert.ok(certificate.verify(path[i + 1]!.publicKey));
    }
    assert.ok(!got[0]!.chain[1]!.raw.equals(got[1]!.chain[1]!.raw), 'they share an intermediate');
  });

  it('follows the files: another root is published, and signs when all have it', async (t) => {
    const { flags, replace } = await diskUpstream(t);
    const server = await serve(t, { flags: [...flags, '--root-publish-time', '0s'] });
    await createWeb(server);
    await ready(server);
    const stream = open(t, server, WEB, BUNDLE);
    const first = await stream.next();
    stream.ack(first);
    await replace();
    const both = await stream.next();
    assert.equal(rootsOf(secretOf(both, BUNDLE)).length, 2);
    stream.ack(both, [WEB, BUNDLE]);
    const renewed = chainOf(secretOf(await stream.next(), WEB));
    const [old] = rootsOf(secretOf(first, BUNDLE));
    const fresh = rootsOf(secretOf(both, BUNDLE)).find((root) => !root.raw.equals(old!.raw))!;
    assert.ok(renewed.at(-1)!.verify(fresh.publicKey));
    const { json } = await ca(server, 'show');
    assert.equal(json.upstream!.kind, 'disk');
    assert.equal(json.upstream!.problem, null);
  });
});

describe('serve --upstream command', { timeout: 60_000 }, () => {
  it('gives the program no descriptor that was left open when the server was started', async (t) => {
    const { directory } = makePlace(t);
    const [program, seen] = [path.join(directory, 'program'), path.join(directory, 'seen')];
    writeFileSync(program, `#!/bin/sh\nls /proc/$$/fd >${seen}.new; mv ${seen}.new ${seen}; exit 1\n`, { mode: 0o700 });
    await serve(t, {
      flags: ['--upstream', 'command', '--upstream-command', program],
      launcher: ['bash', '-c', 'exec 99</etc/passwd; exec "$@"', 'bash'],
    });
    while (!existsSync(seen)) await new Promise((resolve) => setTimeout(resolve, 20));
    const descriptors = readFileSync(seen, 'utf8').trim().split(/\s+/);
    assert.ok(descriptors.includes('2') && !descriptors.includes('99'), descriptors.join());
  });
});
