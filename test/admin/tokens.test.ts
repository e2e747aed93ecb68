/** Tokens with roles: what each may do, and when it ends. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { crc32 } from 'node:zlib';
import Sqlite from 'better-sqlite3';
import { needsOf, ROLE_ROUTES } from '../../src/admin/roles.ts';
import { includesRole, ROLES, type Role } from '../../src/base/roles.ts';
import { recordingLog } from '../support/recording-log.ts';
import { call, entry, startAdmin, TOKEN } from './support.ts';

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function start(t: TestContext, more: Parameters<typeof startAdmin>[1] = {}, file?: string) {
  const running = await startAdmin(t, more, file);
  const { socketPath, tcp } = running;
  const make = async (name: string, role: Role, expires: object = {}): Promise<string> => {
    const json = { name, role, ...expires };
    const { status, body } = await call(socketPath, 'POST', '/v1/tokens', { json });
    assert.equal(status, 201);
    return body.token;
  };
  const ask = (token: string, method = 'GET', url = '/v1/entries', json?: unknown) =>
    call(tcp.port, method, url, { headers: bearer(token), json });
  const revoke = (name: string) => call(socketPath, 'DELETE', `/v1/tokens/${name}`);
  return { ...running, make, ask, revoke };
}

/** The head of an event stream, which does not end by itself. */
async function stream(t: TestContext, port: number, token: string): Promise<IncomingMessage> {
  const request = httpRequest({ port, path: '/v1/events', headers: bearer(token), agent: false }).end();
  t.after(() => request.destroy());
  request.on('error', () => undefined);
  const [response] = await once(request, 'response');
  return response.resume();
}

describe('a token', () => {
  test('is told once, in a form that scanners know, and stored as a hash', async (t) => {
    const { log, lines } = recordingLog();
    const { make, socketPath, file } = await start(t, { log });
    const token = await make('ci', 'entries', { expires_at: '2030-01-01T00:00:00Z' });
    const [, secret, checksum] = /^sidekey_([0-9a-f]{64})([0-9a-f]{8})$/.exec(token)!;
    assert.equal(Number.parseInt(checksum!, 16), crc32(secret!));
    const { body, text } = await call(socketPath, 'GET', '/v1/tokens');
    assert.deepEqual(
      body.tokens.map(({ name, role, expires_at, expired }: Record<string, unknown>) => [
        name,
        role,
        expires_at,
        expired,
      ]),
      [['ci', 'entries', '2030-01-01T00:00:00.000Z', false]],
    );
    const db = new Sqlite(file, { readonly: true });
    t.after(() => db.close());
    const row = JSON.stringify(db.prepare('SELECT * FROM tokens').get());
    for (const place of [text, row, JSON.stringify(lines)]) assert.ok(!place.includes(secret!));
    assert.match(row, /"name":"ci","role":"entries","hash":"[0-9a-f]{64}"/);
    assert.deepEqual(
      lines.filter(({ msg }) => msg === 'a token was made').map(({ name, role, by }) => [name, role, by]),
      [['ci', 'entries', { kind: 'unix', uid: process.getuid!() }]],
    );
  });

  for (const role of ROLES) {
    test(`with the role ${role} may do what needs no more, and hears which role it lacks`, async (t) => {
      const { make, ask } = await start(t);
      const token = await make('one', role);
      for (const route of ROLE_ROUTES) {
        const [method, url] = route.split(' ') as [string, string];
        const needs = needsOf(method, url);
        // Their answers do not end.
        const isStream = url === '/v1/events' || url === '/v1/page/events';
        if (isStream && needs !== 'open' && includesRole(role, needs)) continue;
        // For browsers: a token neither is nor makes a session.
        if (url === '/v1/page/session') continue;
        const { status, body } = await ask(token, method, url.replace(/:\w+/, 'nothing'));
        if (needs === 'open' || includesRole(role, needs)) {
          // A backup never crosses TCP, whatever the role.
          assert.ok((status !== 401 && status !== 403) || body.code === 'ERR_UNIX_SOCKET_ONLY', route);
        } else {
          assert.deepEqual([status, body.code, body.needed_role], [403, 'ERR_FORBIDDEN_ROLE', needs], route);
          assert.match(
            body.detail,
            new RegExp(`needs a token with the role ${needs}, and the token one has the role ${role}`),
          );
        }
      }
      assert.equal((await ask(token, 'GET', '/v1/nothing')).status, 404);
      assert.equal((await ask(token, 'POST', '/healthz')).status, 405);
    });
  }

  test('of a role changes nothing that the role does not allow', async (t) => {
    const { make, ask, registry } = await start(t);
    const token = await make('reader', 'read');
    assert.equal((await ask(token, 'POST', '/v1/entries', entry('a'))).status, 403);
    assert.equal((await ask(token, 'POST', '/v1/tokens', { name: 'more', role: 'admin' })).status, 403);
    assert.equal(registry.size, 0);
    assert.deepEqual(
      registry.tokens.list().map(({ name }) => name),
      ['reader'],
    );
    assert.equal((await ask(await make('writer', 'entries'), 'POST', '/v1/entries', entry('a'))).status, 201);
  });

  test('that was revoked is refused at once, and its event streams end, and no others', async (t) => {
    const { make, ask, revoke, tcp } = await start(t);
    const [gone, stays] = [await make('gone', 'read'), await make('stays', 'read')];
    const [ends, goesOn, ofFile] = await Promise.all([gone, stays, TOKEN].map((token) => stream(t, tcp.port, token)));
    const ended = once(ends!, 'end');
    assert.equal((await revoke('gone')).status, 204);
    await ended;
    const { status, body } = await ask(gone);
    assert.deepEqual([status, body.code], [401, 'ERR_UNAUTHORIZED']);
    assert.match(body.detail, /was revoked/);
    for (const token of [stays, TOKEN]) assert.equal((await ask(token)).status, 200);
    for (const other of [goesOn!, ofFile!]) assert.equal(other.readableEnded, false);
    assert.equal((await revoke('gone')).status, 404);
  });

  test('that was made and revoked at the same time is not left over', async (t) => {
    const { registry } = await start(t);
    const made = registry.tokens.create({ name: 'brief', role: 'admin', expiresAt: 0 });
    const revoked = registry.tokens.revoke('brief');
    const { text } = await made;
    await revoked;
    assert.equal(registry.tokens.find(text), undefined);
  });

  test('that has expired is refused from that instant on, and its event streams end', async (t) => {
    const { make, ask, tcp, clock, socketPath } = await start(t);
    const end = clock.now() + 60_000;
    const token = await make('brief', 'read', { expires_at: new Date(end).toISOString() });
    const ended = once(await stream(t, tcp.port, token), 'end');
    clock.advance(59_999);
    assert.equal((await ask(token)).status, 200);
    clock.advance(1);
    await ended;
    const { status, body } = await ask(token);
    assert.equal(status, 401);
    assert.match(body.detail, /the token brief has expired at 20.*sidekey token create/);
    const { body: list } = await call(socketPath, 'GET', '/v1/tokens');
    assert.equal(list.tokens[0].expired, true);
  });

  test('is there after a restart', async (t) => {
    const { make, registry, store, file } = await start(t);
    const token = await make('kept', 'read');
    await make('gone', 'read');
    await registry.tokens.revoke('gone');
    await registry.close();
    await store.close();
    const again = await start(t, {}, file);
    assert.equal((await again.ask(token)).status, 200);
    assert.equal(again.registry.tokens.list().length, 1);
  });

  const BAD: readonly (readonly [body: unknown, path: string, says: RegExp])[] = [
    [{ name: 'admin.token', role: 'read' }, '/name', /not admin\.token/],
    [{ name: '-a', role: 'read' }, '/name', /1 to 64/],
    [{ name: 'a'.repeat(65), role: 'read' }, '/name', /1 to 64/],
    [{ role: 'read' }, '/name', /missing/],
    [{ name: 'a', role: 'root' }, '/role', /one of metrics, read, entries, admin/],
    [{ name: 'a', role: 'read', expires_at: 1 }, '/expires_at', /in the future/],
    [{ name: 'a', role: 'read', expires_at: 'soon' }, '/expires_at', /RFC 3339/],
    [{ name: 'a', role: 'read', ttl: 3 }, '/ttl', /no such field/],
    [[], '', /an object/],
  ];
  for (const [json, path, says] of BAD) {
    test(`is not made of ${JSON.stringify(json)}`, async (t) => {
      const { socketPath, registry } = await start(t);
      const { status, body } = await call(socketPath, 'POST', '/v1/tokens', { json });
      assert.equal(status, 400);
      assert.equal(body.errors[0].path, path);
      assert.match(body.detail, says);
      assert.deepEqual(registry.tokens.list(), []);
    });
  }

  test('has a name that no other has', async (t) => {
    const { make, ask, socketPath } = await start(t);
    const first = await make('ci', 'read');
    const { status, body } = await call(socketPath, 'POST', '/v1/tokens', { json: { name: 'ci', role: 'admin' } });
    assert.deepEqual([status, body.code], [409, 'ERR_TOKEN_EXISTS']);
    assert.equal((await ask(first)).status, 200);
  });
});
