/** JWT keys of a real server: commands, bundles, OIDC discovery, restarts and settings that contradict each other. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { sidekey } from '../cli/support.ts';
import { openStream, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

type Keys = Record<string, string>[];

async function run(server: Served, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await sidekey(args, { env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket } });
  assert.equal(status, 0, stderr);
  return stdout;
}

async function jwtKeys(server: Served): Promise<AuthoritiesJson['authorities']> {
  const { body } = await server.request('GET', '/v1/ca');
  return (body as AuthoritiesJson).authorities.filter(({ role }) => role === 'jwt');
}

async function bundleKeys(server: Served): Promise<Keys> {
  const { body } = await server.request('GET', '/v1/bundle');
  return (body as { keys: Keys }).keys.filter(({ use }) => use === 'jwt-svid');
}

const flagsOf = (t: TestContext, flags: readonly string[] = []) => serve(t, { flags });

describe('JWT keys of a server', { concurrency: 2, timeout: 120_000 }, () => {
  it('are shown with their states, are in the bundle, and are printed for an OIDC provider', async (t) => {
    const server = await flagsOf(t);
    const keys = await jwtKeys(server);
    assert.deepEqual(
      keys.map(({ state, key_type, subject, is_upstreams }) => [state, key_type, subject, is_upstreams]),
      [
        ['active', 'ec-p256', '', false],
        ['published', 'ec-p256', '', false],
      ],
    );
    assert.ok(keys[1]!.signs_after !== null && keys[0]!.signs_after === null);
    const table = await run(server, 'ca', 'show');
    assert.match(table, /^jwt +active +ec-p256/m);
    assert.match(table, /The published JWT key signs from 20/);
    const bundled = await bundleKeys(server);
    assert.deepEqual(bundled.map(({ kid }) => kid).sort(), keys.map(({ id }) => id).sort());
    for (const { kty, crv, x, y } of bundled)
      assert.ok(kty === 'EC' && crv === 'P-256' && x !== undefined && y !== undefined);
    const jwks = JSON.parse(await run(server, 'jwks')) as { keys: Keys };
    assert.deepEqual(
      jwks.keys.map(({ kid, use, alg, x }) => ({ kid, use, alg, x })),
      bundled.map(({ kid, x }) => ({ kid, use: 'sig', alg: 'ES256', x })),
    );
  });

  it('are replaced on request, once the next one was published for long enough; Envoys get nothing new', async (t) => {
    const server = await flagsOf(t, ['--jwt-publish-before', '1s']);
    const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    await server.request('POST', '/v1/entries', { spiffe_id: `spiffe://${TRUST_DOMAIN}/web`, selectors });
    const stream = openStream(t, server.socket, 'ROOTCA');
    const first = await stream.next();
    stream.ack(first);
    assert.ok(secretOf(first, 'ROOTCA'));
    const [before, next] = await jwtKeys(server);
    await run(server, 'ca', 'rotate', '--jwt');
    for (;;) {
      const [now] = (await jwtKeys(server)).filter(({ state }) => state === 'active');
      if (now!.id === next!.id) break;
      assert.equal(now!.id, before!.id);
    }
    const keys = await jwtKeys(server);
    assert.deepEqual(
      keys.map(({ state }) => state),
      ['retired', 'active', 'published'],
    );
    const { body } = await server.request('GET', '/v1/proxies');
    const [secret] = body.proxies[0].streams[0].secrets;
    assert.equal(secret.state, 'in_sync');
    assert.equal(secret.version, first.versionInfo);
    // A root does not wait for a bundle that nobody was sent.
    await server.request('POST', '/v1/ca/rotate', { role: 'root' });
    stream.ack(await stream.next());
  });

  it('are tainted by the beginning of their ID: the next one signs at once, and the command says so', async (t) => {
    const server = await flagsOf(t);
    const [before, next] = await jwtKeys(server);
    const said = await run(server, 'ca', 'taint', before!.id.slice(0, 12));
    assert.match(said, /The next JWT key signs\. Tokens of the tainted key are refused/);
    const keys = await jwtKeys(server);
    assert.equal(keys.find(({ state }) => state === 'active')!.id, next!.id);
    assert.ok(!(await bundleKeys(server)).some(({ kid }) => kid === before!.id));
    assert.ok(!readdirSync(path.join(server.dataDir, 'ca')).includes(`jwt-${before!.id}.json`));
  });

  it('stay after a restart and a kill', async (t) => {
    const server = await flagsOf(t);
    const keys = (await jwtKeys(server)).map(({ id, state }) => [id, state]);
    await server.stop('SIGKILL');
    const again = await serve(t, { place: server });
    assert.deepEqual(
      (await jwtKeys(again)).map(({ id, state }) => [id, state]),
      keys,
    );
  });

  it('are found by OIDC discovery', async (t) => {
    const [port] = await freePorts(1);
    const issuer = `http://127.0.0.1:${port}`;
    const server = await flagsOf(t, ['--jwt-issuer', issuer, '--oidc-listen', `127.0.0.1:${port}`]);
    const { jwks_uri } = JSON.parse((await call(`${issuer}/.well-known/openid-configuration`)).body);
    assert.equal(jwks_uri, `${issuer}/keys`);
    const { keys } = JSON.parse((await call(jwks_uri)).body) as { keys: Keys };
    assert.deepEqual(keys.map(({ kid }) => kid).sort(), (await jwtKeys(server)).map(({ id }) => id).sort());
    assert.equal((await call(`${issuer}/v1/ca`)).status, 404);
  });
});
