/** Signing in to the page, and what its sessions may do. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { CODE_MS, IDLE_MS, SESSION_MS } from '../../src/admin/page/sessions.ts';
import { call, entry, type Running, startAdmin, TOKEN } from './support.ts';

const HOST = 'sidekey-1a2b.localhost:8443';
const ORIGIN = `http://${HOST}`;
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

interface Browser {
  readonly cookie: string;
  readonly csrf: string;
  readonly id: string;
  get(url: string, headers?: Record<string, string>): ReturnType<typeof call>;
  send(method: string, url: string, json?: unknown, headers?: Record<string, string>): ReturnType<typeof call>;
}

async function linkOf(where: string | number, json: object = {}, headers: Record<string, string> = {}) {
  const { status, body, text } = await call(where, 'POST', '/v1/page/links', { json, headers });
  assert.equal(status, 201, text);
  return body as { code: string; expires_at: string; role: string; name: string };
}

function redeem(port: number, code: string, headers: Record<string, string> = {}) {
  return call(port, 'POST', '/v1/page/session', {
    json: { code },
    headers: { host: HOST, origin: ORIGIN, ...headers },
  });
}

/** Signs in as a browser does, over TCP. */
async function signIn({ socketPath, tcp }: Running, json: object = {}, code?: string): Promise<Browser> {
  const { status, headers, body, text } = await redeem(tcp.port, code ?? (await linkOf(socketPath, json)).code);
  assert.equal(status, 200, text);
  const cookie = /^sidekey_session=[\w-]{43}/.exec(headers['set-cookie']![0]!)![0];
  const own = { host: HOST, cookie, 'sec-fetch-site': 'same-origin' };
  return {
    ...{ cookie, csrf: body.csrf, id: body.id },
    get: (url, more = {}) => call(tcp.port, 'GET', url, { headers: { ...own, ...more } }),
    send: (method, url, json, more = {}) =>
      call(tcp.port, method, url, {
        ...(json === undefined ? {} : { json }),
        headers: { ...own, origin: ORIGIN, 'x-sidekey-csrf': body.csrf, ...more },
      }),
  };
}

async function events(
  t: TestContext,
  port: number,
  url: string,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const request = httpRequest({ host: '127.0.0.1', port, path: url, headers, agent: false }).end();
  t.after(() => request.destroy());
  request.on('error', () => undefined);
  const [response] = await once(request, 'response');
  return response;
}

async function ended(response: IncomingMessage): Promise<void> {
  response.on('error', () => undefined).resume();
  if (!response.closed) await once(response, 'close');
}

describe('a link to the page', { timeout: 60_000 }, () => {
  it('becomes one session, whose cookie no script and no other site gets', async (t) => {
    const running = await startAdmin(t);
    const { code, ...link } = await linkOf(running.socketPath);
    assert.deepEqual([link.role, link.name], ['admin', `uid-${process.geteuid!()}`]);
    const first = await redeem(running.tcp.port, code);
    assert.equal(first.status, 200, first.text);
    const [cookie] = first.headers['set-cookie']!;
    assert.match(cookie!, /^sidekey_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    assert.equal(first.headers['cache-control'], 'no-store');
    assert.deepEqual(Object.keys(first.body).sort(), [
      'csrf',
      'expires_at',
      'id',
      'name',
      'role',
      'trust_domain',
      'version',
    ]);
    const again = await redeem(running.tcp.port, code);
    assert.deepEqual([again.status, again.body.code], [401, 'ERR_LINK']);
    assert.equal(again.headers['set-cookie'], undefined);
  });

  it('works for a minute', async (t) => {
    const running = await startAdmin(t);
    const { code } = await linkOf(running.socketPath);
    const { code: late } = await linkOf(running.socketPath);
    running.clock.advance(CODE_MS - 1);
    assert.equal((await redeem(running.tcp.port, code)).status, 200);
    running.clock.advance(1);
    assert.equal((await redeem(running.tcp.port, late)).body.code, 'ERR_LINK');
  });

  it('is not used up by a request that another site makes, nor under a name that programs share', async (t) => {
    const running = await startAdmin(t);
    const { code } = await linkOf(running.socketPath);
    const refused: [Record<string, string>, string][] = [
      [{ origin: 'http://evil.example' }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ origin: 'null' }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ origin: 'http://sidekey-1a2b.localhost:9000' }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ origin: `${ORIGIN}.evil.example` }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ 'sec-fetch-site': 'cross-site' }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ 'sec-fetch-site': 'same-site' }, 'ERR_FORBIDDEN_ORIGIN'],
      [{ host: 'evil.example', origin: 'http://evil.example' }, 'ERR_FORBIDDEN_HOST'],
      [{ host: 'localhost:8443', origin: 'http://localhost:8443' }, 'ERR_FORBIDDEN_HOST'],
      [{ host: '127.0.0.1:8443', origin: 'http://127.0.0.1:8443' }, 'ERR_FORBIDDEN_HOST'],
      [{ host: '[::1]:8443', origin: 'http://[::1]:8443' }, 'ERR_FORBIDDEN_HOST'],
    ];
    for (const [headers, expected] of refused) {
      const { status, body } = await redeem(running.tcp.port, code, headers);
      assert.deepEqual([status, body.code], [403, expected], JSON.stringify(headers));
    }
    assert.equal((await redeem(running.tcp.port, code)).status, 200);
  });

  it('takes little from somebody who has none', async (t) => {
    const { tcp } = await startAdmin(t);
    const { status, body } = await redeem(tcp.port, 'x'.repeat(2_000));
    assert.deepEqual([status, body.code], [413, 'ERR_TOO_LARGE']);
  });

  it('gives no higher role than its maker has', async (t) => {
    const running = await startAdmin(t);
    const { socketPath, tcp } = running;
    const tokens: Record<string, string> = {};
    for (const role of ['metrics', 'read', 'entries']) {
      tokens[role] = (await call(socketPath, 'POST', '/v1/tokens', { json: { name: role, role } })).body.token;
    }
    const ask = (role: string, json: object) =>
      call(tcp.port, 'POST', '/v1/page/links', { json, headers: bearer(tokens[role]!) });
    assert.equal((await ask('metrics', {})).body.code, 'ERR_FORBIDDEN_ROLE');
    const high = await ask('read', { role: 'entries' });
    assert.deepEqual([high.status, high.body.code, high.body.needed_role], [403, 'ERR_FORBIDDEN_ROLE', 'entries']);
    const { body } = await ask('entries', { role: 'read', name: 'ada' });
    assert.deepEqual([body.role, body.name], ['read', 'ada']);
    assert.deepEqual((await ask('entries', {})).body.role, 'entries');
    for (const json of [{ role: 'metrics' }, { name: '-' }, { colour: 1 }, []]) {
      assert.equal((await ask('read', json)).body.code, 'ERR_BAD_INPUT', JSON.stringify(json));
    }
  });

  it('is made ten times at once by one maker, and then rarely', async (t) => {
    const { socketPath, tcp, clock } = await startAdmin(t);
    for (let count = 0; count < 10; count += 1) await linkOf(socketPath);
    const more = await call(socketPath, 'POST', '/v1/page/links', { json: {} });
    assert.deepEqual([more.status, more.body.code], [429, 'ERR_TOO_MANY_LINKS']);
    await linkOf(tcp.port, {}, bearer(TOKEN));
    clock.advance(6_000);
    await linkOf(socketPath);
  });

  it('is not made by a session', async (t) => {
    const browser = await signIn(await startAdmin(t));
    const { status, body } = await browser.send('POST', '/v1/page/links', {});
    assert.deepEqual([status, body.code], [403, 'ERR_FORBIDDEN']);
  });
});

describe('a session of the page', { timeout: 60_000 }, () => {
  it('reads and changes what its role allows, and no more', async (t) => {
    const running = await startAdmin(t);
    const reader = await signIn(running, { role: 'read' });
    assert.equal((await reader.get('/v1/entries')).status, 200);
    const refused = await reader.send('POST', '/v1/entries', entry('web'));
    assert.deepEqual(
      [refused.status, refused.body.code, refused.body.needed_role],
      [403, 'ERR_FORBIDDEN_ROLE', 'entries'],
    );
    assert.equal((await reader.get('/v1/audit')).body.code, 'ERR_FORBIDDEN_ROLE');
    const editor = await signIn(running, { role: 'entries' });
    assert.equal((await editor.send('POST', '/v1/entries', entry('web'))).status, 201);
    assert.equal((await editor.send('POST', '/v1/ca/rotate', { role: 'jwt' })).body.code, 'ERR_FORBIDDEN_ROLE');
    const admin = await signIn(running, { name: 'ada' });
    const { body } = await admin.get('/v1/audit?action=entry');
    const { id: session, maker } = { id: editor.id, maker: `unix:${process.geteuid!()}` };
    assert.deepEqual(body.rows[0].actor, {
      ...{ kind: 'session', name: `uid-${process.geteuid!()}`, role: 'entries', session, made_by: maker },
      address: '127.0.0.1',
    });
    assert.equal(body.rows[0].source, 'tcp 127.0.0.1');
    const named = await admin.get('/v1/audit?actor=session:ada');
    assert.deepEqual(
      named.body.rows.map(({ action }: { action: string }) => action),
      ['session.created'],
    );
  });

  it('never gets a backup, which has the keys', async (t) => {
    const running = await startAdmin(t);
    const browser = await signIn(running);
    const { status, body } = await browser.send('POST', '/v1/backup');
    assert.deepEqual([status, body.code], [403, 'ERR_UNIX_SOCKET_ONLY']);
    const forwarded = await call(running.socketPath, 'POST', '/v1/backup', {
      headers: {
        ...{ host: HOST, origin: ORIGIN, cookie: browser.cookie },
        ...{ 'x-sidekey-csrf': browser.csrf, 'sidekey-via': 'page' },
      },
    });
    assert.deepEqual([forwarded.status, forwarded.body.code], [403, 'ERR_UNIX_SOCKET_ONLY']);
  });

  it('changes nothing without its CSRF header', async (t) => {
    const running = await startAdmin(t);
    const browser = await signIn(running);
    const other = await signIn(running);
    for (const csrf of ['', 'x', other.csrf, `${browser.csrf}, ${browser.csrf}`]) {
      for (const [method, url] of [
        ['POST', '/v1/entries'],
        ['DELETE', '/v1/page/session'],
      ] as const) {
        const { status, body } = await browser.send(method, url, entry('web'), { 'x-sidekey-csrf': csrf });
        assert.deepEqual([status, body.code], [403, 'ERR_FORBIDDEN_ORIGIN'], csrf);
      }
    }
    assert.equal(running.registry.size, 0);
    assert.equal((await browser.get('/v1/page/session')).body.csrf, browser.csrf);
  });

  it('answers to the page alone', async (t) => {
    const browser = await signIn(await startAdmin(t));
    const others: Record<string, string>[] = [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'none' },
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { origin: 'http://sidekey-1a2b.localhost:9000' },
      { origin: 'http://other.localhost:8443' },
      { host: 'evil.example' },
    ];
    for (const headers of others) {
      for (const url of ['/v1/entries', '/v1/events', '/v1/page/events', '/v1/page/session']) {
        const { status, body } = await browser.get(url, headers);
        const expected = 'host' in headers ? 'ERR_FORBIDDEN_HOST' : 'ERR_FORBIDDEN_ORIGIN';
        assert.deepEqual([status, body.code], [403, expected], `${url} ${JSON.stringify(headers)}`);
      }
    }
    const { headers } = await browser.get('/v1/entries');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['access-control-allow-origin'], undefined);
  });

  it('is not mistaken for another one whose cookie comes too', async (t) => {
    const running = await startAdmin(t);
    const [one, other] = [await signIn(running), await signIn(running)];
    for (const cookie of [`${one.cookie}; ${other.cookie}`, `${one.cookie}; sidekey_session=`, 'sidekey_session=x']) {
      const { status, body } = await one.get('/v1/entries', { cookie });
      assert.deepEqual([status, body.code], [401, 'ERR_SESSION'], cookie);
    }
    assert.equal((await one.get('/v1/entries', { cookie: `a=b; ${one.cookie} ;c=d` })).status, 200);
  });

  it('takes nothing from a token that comes with it', async (t) => {
    const browser = await signIn(await startAdmin(t));
    const { status, body } = await browser.get('/v1/entries', bearer('a-token-of-nobody'));
    assert.deepEqual([status, body.code], [401, 'ERR_UNAUTHORIZED']);
  });

  it('ends after twelve hours, with its event streams', async (t) => {
    const running = await startAdmin(t);
    const browser = await signIn(running);
    const headers = { host: HOST, cookie: browser.cookie, 'sec-fetch-site': 'same-origin' };
    const streams = await Promise.all(
      ['/v1/events', '/v1/page/events'].map((url) => events(t, running.tcp.port, url, headers)),
    );
    for (const { statusCode } of streams) assert.equal(statusCode, 200);
    running.clock.advance(SESSION_MS - 1);
    assert.equal((await browser.get('/v1/entries')).status, 200, 'open streams keep it from being idle');
    const all = Promise.all(streams.map(ended));
    running.clock.advance(1);
    await all;
    assert.equal((await browser.get('/v1/entries')).body.code, 'ERR_SESSION');
  });

  it('ends after an hour without use', async (t) => {
    const running = await startAdmin(t);
    const browser = await signIn(running);
    running.clock.advance(IDLE_MS - 1);
    assert.equal((await browser.get('/v1/entries')).status, 200);
    running.clock.advance(IDLE_MS);
    assert.equal((await browser.get('/v1/entries')).body.code, 'ERR_SESSION');
  });

  it('ends with the token that made its link, and so does a link', async (t) => {
    let fileToken = TOKEN;
    const running = await startAdmin(t, { token: () => fileToken });
    const { socketPath, tcp, clock, admin } = running;
    const make = async (name: string, more: object = {}) =>
      (await call(socketPath, 'POST', '/v1/tokens', { json: { name, role: 'read', ...more } })).body.token as string;
    const revoked = await make('revoked');
    const expiring = await make('expiring', { expires_at: new Date(clock.now() + 30_000).toISOString() });
    const session = async (token: string) => signIn(running, {}, (await linkOf(tcp.port, {}, bearer(token))).code);
    const [one, two, three] = [await session(revoked), await session(expiring), await session(TOKEN)];
    const { code } = await linkOf(tcp.port, {}, bearer(revoked));
    const { expires_at } = (await two.get('/v1/page/session')).body;
    assert.equal(Date.parse(expires_at), clock.now() + 30_000);
    const headers = { host: HOST, cookie: one.cookie };
    const stream = await events(t, tcp.port, '/v1/page/events', headers);
    await call(socketPath, 'DELETE', '/v1/tokens/revoked');
    await ended(stream);
    assert.equal((await one.get('/v1/entries')).body.code, 'ERR_SESSION');
    assert.equal((await redeem(tcp.port, code)).body.code, 'ERR_LINK');
    clock.advance(30_000);
    assert.equal((await two.get('/v1/entries')).body.code, 'ERR_SESSION');
    assert.equal((await three.get('/v1/entries')).status, 200);
    fileToken = `${TOKEN}2`;
    await admin.tokenChanged();
    assert.equal((await three.get('/v1/entries')).body.code, 'ERR_SESSION');
  });

  it('is not begun by a token that is revoked while the body of the request arrives', async (t) => {
    const running = await startAdmin(t);
    const { socketPath, tcp } = running;
    const { token } = (await call(socketPath, 'POST', '/v1/tokens', { json: { name: 'ci', role: 'read' } })).body;
    const request = httpRequest({
      ...{ host: '127.0.0.1', port: tcp.port, method: 'POST', path: '/v1/page/links', agent: false },
      headers: { ...bearer(token), 'content-type': 'application/json', 'content-length': 2, expect: '100-continue' },
    });
    t.after(() => request.destroy());
    request.flushHeaders();
    // The server has read the headers, and accepted the token.
    await once(request, 'continue');
    await call(socketPath, 'DELETE', '/v1/tokens/ci');
    request.end('{}');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    assert.equal(response.statusCode, 401);
  });

  it('is listed and ended: all by an admin, else those of the same maker that have no higher role', async (t) => {
    const running = await startAdmin(t);
    const { socketPath, tcp } = running;
    const { token } = (await call(socketPath, 'POST', '/v1/tokens', { json: { name: 'ci', role: 'entries' } })).body;
    const ofToken = await signIn(running, {}, (await linkOf(tcp.port, {}, bearer(token))).code);
    const [admin, reader] = [await signIn(running), await signIn(running, { role: 'read', name: 'ada' })];
    const listed = async (browser: Browser) =>
      (await browser.get('/v1/page/sessions')).body.sessions as { id: string; current: boolean; made_by: string }[];
    const ids = async (browser: Browser) => (await listed(browser)).map(({ id }) => id);
    assert.deepEqual(await ids(admin), [ofToken.id, admin.id, reader.id]);
    assert.deepEqual(await ids(reader), [reader.id]);
    assert.equal((await reader.send('DELETE', `/v1/page/sessions/${admin.id}`)).status, 404);
    assert.deepEqual(
      await listed(ofToken).then((all) => all.map(({ id, current, made_by }) => [id, current, made_by])),
      [[ofToken.id, true, 'token:ci']],
    );
    const unseen = await ofToken.send('DELETE', `/v1/page/sessions/${admin.id}`);
    assert.deepEqual([unseen.status, unseen.body.code], [404, 'ERR_NOT_FOUND']);
    const stream = await events(t, tcp.port, '/v1/page/events', { host: HOST, cookie: ofToken.cookie });
    assert.equal((await admin.send('DELETE', `/v1/page/sessions/${ofToken.id}`)).status, 204);
    await ended(stream);
    assert.equal((await ofToken.get('/v1/entries')).body.code, 'ERR_SESSION');
    const out = await reader.send('DELETE', '/v1/page/session');
    assert.equal(out.status, 204);
    assert.match(out.headers['set-cookie']![0]!, /^sidekey_session=; .*Max-Age=0/);
    assert.deepEqual(await ids(admin), [admin.id]);
    const { body } = await call(socketPath, 'GET', '/v1/audit?action=session&limit=2');
    const rows = body.rows.map(({ action, target }: { action: string; target: string }) => [action, target]);
    assert.ok(
      isDeepStrictEqual(rows, [
        ['session.ended', reader.id],
        ['session.ended', ofToken.id],
      ]),
      JSON.stringify(rows),
    );
  });

  it('is one of at most a hundred; who makes many pushes out its own', async (t) => {
    const running = await startAdmin(t);
    const { tcp, clock } = running;
    const other = await signIn(running);
    const many: Browser[] = [];
    for (let count = 0; count < 100; count += 1) {
      clock.advance(6_000);
      many.push(await signIn(running, {}, (await linkOf(tcp.port, {}, bearer(TOKEN))).code));
    }
    assert.equal((await other.get('/v1/entries')).status, 200);
    assert.equal((await many[0]!.get('/v1/entries')).body.code, 'ERR_SESSION');
    assert.equal((await many[1]!.get('/v1/entries')).status, 200);
  });
});

describe('a request that sidekey page forwards', { timeout: 60_000 }, () => {
  it('has no right of the socket, whatever it says', async (t) => {
    const { socketPath } = await startAdmin(t);
    for (const via of ['page', '', 'x', 'page, page']) {
      const headers = { host: HOST, 'sidekey-via': via, ...bearer(TOKEN) };
      for (const url of ['/v1/entries', '/v1/page/sessions', '/metrics', '/nothing']) {
        const { status, body } = await call(socketPath, 'GET', url, { headers });
        assert.deepEqual([status, body.code], [401, 'ERR_SESSION'], `${url} ${via}`);
      }
    }
    const rebound = await call(socketPath, 'GET', '/healthz', {
      headers: { host: 'evil.example', 'sidekey-via': 'page' },
    });
    assert.equal(rebound.body.code, 'ERR_FORBIDDEN_HOST');
  });

  it('is told in the audit with the process that forwards', async (t) => {
    const running = await startAdmin(t);
    const { code } = await linkOf(running.socketPath);
    const via = { host: HOST, 'sidekey-via': 'page' };
    const signedIn = await call(running.socketPath, 'POST', '/v1/page/session', { json: { code }, headers: via });
    assert.equal(signedIn.status, 200, signedIn.text);
    const { body } = await call(running.socketPath, 'GET', '/v1/audit?action=session.created');
    const { actor, source } = body.rows[0];
    assert.deepEqual([actor.kind, actor.uid, actor.pid], ['session', process.geteuid!(), process.pid]);
    assert.equal(source, 'unix socket, sidekey page');
  });
});

describe("the page's files", { timeout: 60_000 }, () => {
  it('are the same for everybody, in no frame, with nothing from elsewhere', async (t) => {
    const { tcp, socketPath } = await startAdmin(t);
    const get = (where: string | number, url: string, headers: Record<string, string> = {}) => raw(where, url, headers);
    for (const url of ['/', '/ui/', '/ui/proxies?state=held', '/ui/proxies/pipe-1']) {
      for (const where of [tcp.port, socketPath]) {
        const { status, headers, text } = await get(where, url, { host: HOST, accept: 'text/html,*/*;q=0.8' });
        assert.equal(status, 200, text);
        assert.match(headers['content-type']!, /^text\/html/);
        assert.equal(headers['cache-control'], 'no-store');
        assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
        assert.equal(headers['x-frame-options'], 'DENY');
        assert.equal(headers['referrer-policy'], 'no-referrer');
        assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
        assert.equal(headers['set-cookie'], undefined);
      }
    }
    const index = (await get(tcp.port, '/', { host: HOST })).text;
    for (const [, asset] of index.matchAll(/"(\/assets\/[^"]+)"/g)) {
      const plain = await get(tcp.port, asset!, { host: HOST });
      assert.deepEqual([plain.status, plain.headers['content-encoding']], [200, undefined]);
      assert.match(plain.headers['cache-control']!, /immutable/);
      const { headers } = await get(tcp.port, asset!, { host: HOST, 'accept-encoding': 'gzip, deflate, br' });
      assert.equal(headers['content-encoding'], 'br');
      const old = await get(tcp.port, asset!, { host: HOST, 'accept-encoding': 'gzip, br;q=0' });
      assert.equal(old.headers['content-encoding'], 'gzip');
    }
    for (const url of ['/assets/none.js', '/assets/..%2findex.html', '/assets/../index.html']) {
      assert.notEqual((await get(tcp.port, url, { host: HOST })).status, 200, url);
    }
    assert.equal((await get(tcp.port, '/', { host: 'evil.example' })).status, 403);
    const json = await get(tcp.port, '/', { host: HOST, accept: 'application/json' });
    assert.deepEqual([json.status, JSON.parse(json.text).code], [404, 'ERR_NOT_FOUND']);
  });
});

async function raw(where: string | number, url: string, headers: Record<string, string>) {
  const place = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  const request = httpRequest({ ...place, path: url, headers, agent: false }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode!, headers: response.headers, text: Buffer.concat(chunks).toString('latin1') };
}
