/** The rotation of the authorities under live streams, a restart and a real Envoy. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { cleanEnvironment, ROOT, sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { chainOf, namesOf, openStream, rootsOf, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
/** A new root signs as soon as all proxies have it. */
const AT_ONCE = ['--root-publish-time', '0s'];

async function serveWeb(t: TestContext, flags: readonly string[] = AT_ONCE): Promise<Served> {
  const server = await serve(t, { flags });
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
  return server;
}

const open = (t: TestContext, server: Served, ...names: string[]) => openStream(t, server.socket, ...names);

async function ca(server: Served, ...args: string[]): Promise<AuthoritiesJson['authorities']> {
  const { status, stdout, stderr } = await sidekey(['ca', ...args, '-o', 'json'], {
    env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket },
  });
  assert.equal(status, 0, stderr);
  return (JSON.parse(stdout) as AuthoritiesJson).authorities;
}

const rootIn = (authorities: AuthoritiesJson['authorities'], state: string) =>
  authorities.find((one) => one.role === 'root' && one.state === state);

describe('sidekey ca rotate', { concurrency: 2, timeout: 60_000 }, () => {
  it('--root publishes a root, and it signs once every stream has acknowledged the bundle with it', async (t) => {
    const server = await serveWeb(t);
    const both = open(t, server, WEB, BUNDLE);
    const first = await both.next();
    both.ack(first);
    const late = open(t, server, BUNDLE);
    late.ack(await late.next());
    const [before] = rootsOf(secretOf(first, BUNDLE));

    const published = rootIn(await ca(server, 'rotate', '--root'), 'published')!;
    const bundle = await both.next();
    assert.equal(rootsOf(secretOf(bundle, BUNDLE)).length, 2);
    both.ack(bundle, [WEB, BUNDLE]);
    const unanswered = await late.next();
    const { id, waits_for } = rootIn(await ca(server, 'show'), 'published')!;
    assert.equal(id, published.id);
    assert.deepEqual(waits_for, [
      { pid: process.pid, uid: process.getuid!(), node_id: 'test', name: BUNDLE, rejection: null },
    ]);
    late.nack(unanswered, 'no room');
    while (rootIn(await ca(server, 'show'), 'published')!.waits_for[0]!.rejection !== 'no room');

    late.cancel();
    const renewed = await both.next();
    const [, intermediate] = chainOf(secretOf(renewed, WEB));
    const after = rootsOf(secretOf(bundle, BUNDLE)).find((root) => root.serialNumber !== before!.serialNumber)!;
    assert.ok(intermediate!.verify(after.publicKey));
    const authorities = await ca(server, 'show');
    assert.equal(rootIn(authorities, 'active')!.id, published.id);
    assert.ok(rootIn(authorities, 'retired') !== undefined);
  });

  it('--root goes on after a restart in the middle of it', async (t) => {
    const server = await serveWeb(t, ['--root-publish-time', '1s']);
    const published = rootIn(await ca(server, 'rotate', '--root'), 'published')!;
    await server.stop('SIGKILL');
    const again = await serve(t, { place: server, flags: ['--root-publish-time', '1s'] });
    await again.logged('new root signs: all SVIDs are reissued');
    assert.equal(rootIn(await ca(again, 'show'), 'active')!.id, published.id);
  });

  it('replaces the intermediate at once, and the SVIDs under it', async (t) => {
    const server = await serveWeb(t);
    const stream = open(t, server, WEB);
    const first = await stream.next();
    stream.ack(first);
    await ca(server, 'rotate');
    const [, before] = chainOf(secretOf(first, WEB));
    const [leaf, after] = chainOf(secretOf(await stream.next(), WEB));
    assert.notEqual(after!.serialNumber, before!.serialNumber);
    assert.ok(leaf!.verify(after!.publicKey));
  });

  it('is refused over REST with a body that names no role, and nothing is replaced', async (t) => {
    const server = await serveWeb(t);
    const before = (await server.request('GET', '/v1/ca')).body;
    for (const [body, path] of [
      [undefined, ''],
      [{}, '/role'],
      [{ role: 'leaf' }, '/role'],
      [{ role: 'root', force: true }, '/force'],
      [['root'], ''],
    ]) {
      const answer = await server.request('POST', '/v1/ca/rotate', body);
      assert.equal(answer.status, 400);
      assert.deepEqual(
        answer.body.errors.map((one: { path: string }) => one.path),
        [path],
      );
    }
    assert.deepEqual((await server.request('GET', '/v1/ca')).body, before);
  });
});

describe('sidekey ca taint', { concurrency: 2, timeout: 60_000 }, () => {
  it('reissues what it signed under a root that all proxies have, and then takes its root out of the bundle', async (t) => {
    const server = await serveWeb(t, []);
    const stream = open(t, server, WEB, BUNDLE);
    const first = await stream.next();
    stream.ack(first);
    const silent = open(t, server, BUNDLE);
    await silent.next();
    const [old] = rootsOf(secretOf(first, BUNDLE));
    const { id } = rootIn(await ca(server, 'show'), 'active')!;
    const began = performance.now();
    const tainting = sidekey(['ca', 'taint', id.slice(0, 8)], { env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket } });

    const both = await stream.next();
    assert.deepEqual(namesOf(both), [BUNDLE]);
    assert.equal(rootsOf(secretOf(both, BUNDLE)).length, 2);
    stream.ack(both, [WEB, BUNDLE]);
    const renewed = await stream.next();
    const fresh = rootsOf(secretOf(both, BUNDLE)).find((root) => root.serialNumber !== old!.serialNumber)!;
    const [leaf, intermediate] = chainOf(secretOf(renewed, WEB));
    assert.ok(leaf!.verify(intermediate!.publicKey) && intermediate!.verify(fresh.publicKey));
    stream.ack(renewed, [WEB, BUNDLE]);
    const last = await stream.next();
    assert.deepEqual(
      rootsOf(secretOf(last, BUNDLE)).map(({ serialNumber }) => serialNumber),
      [fresh.serialNumber],
    );
    // The silent stream was waited for 5 s, once: it has no SVID.
    assert.ok(performance.now() - began < 60_000);
    const { status, stdout } = await tainting;
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^root ${id}: tainted$`, 'm'));
    assert.match(stdout, new RegExp(`^${id}: gone$`, 'm'));
    assert.ok(!(await ca(server, 'show')).some((one) => one.id === id));
    assert.ok(!JSON.stringify((await server.request('GET', '/v1/bundle')).body).includes(old!.raw.toString('base64')));
  });

  it('names no proxy that has answered between two looks', async (t) => {
    const server = await serveWeb(t, []);
    const stream = open(t, server, BUNDLE);
    stream.ack(await stream.next());
    const { id } = rootIn(await ca(server, 'show'), 'active')!;
    const env = { ...cleanEnvironment(), SIDEKEY_ADMIN_SOCKET: server.adminSocket };
    const child = spawn(path.join(ROOT, 'bin/sidekey'), ['ca', 'taint', id], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    endAfter(t, child);
    const both = await stream.next();
    let out = '';
    let answered: Promise<void> | undefined;
    const answer = async () => {
      stream.ack(both);
      stream.ack(await stream.next());
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      // In this state it has read that the proxy is behind.
      out += text;
      if (/: published$/m.test(out)) answered ??= answer();
    });
    await once(child, 'close');
    await answered;
    assert.match(out, /^All proxies have new SVIDs, and bundles without the tainted root\.$/m);
  });

  it('is refused for an authority that does not exist', async (t) => {
    const server = await serveWeb(t);
    const { status, stderr } = await sidekey(['ca', 'taint', 'abc'], {
      env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket },
    });
    assert.equal(status, 1);
    assert.match(stderr, /there is no authority abc: see sidekey ca show/);
  });
});
