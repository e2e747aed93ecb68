import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { type AccessRequest, type AccessRules, type AdminCaller, checkRole, identify } from '../../src/admin/access.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { call, startAdmin, TOKEN } from './support.ts';

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const NO_TOKENS = { find: () => undefined };
const NO_SESSIONS = { use: () => undefined };

/** The code of the refusal; undefined: it is accepted. */
function refusal(caller: AdminCaller, request: AccessRequest, rules: Partial<AccessRules>): string | undefined {
  try {
    const all = { ownerUid: 0, token: TOKEN, tokens: NO_TOKENS, sessions: NO_SESSIONS, hosts: [], now: 0, ...rules };
    checkRole(identify(caller, request, all), request.needs);
    return undefined;
  } catch (thrown) {
    return (thrown as { code: string }).code;
  }
}

const PATHS = ['/v1/entries', '/v1/bundle', '/openapi.json', '/nothing', '/healthz/', '/v1/entries/healthz'];

describe('the Unix socket', () => {
  test('lets its owner in whatever the Host says, without a token', async (t) => {
    const { socketPath } = await startAdmin(t);
    for (const host of ['evil.example', 'localhost']) {
      const { status } = await call(socketPath, 'GET', '/v1/entries', { headers: { host } });
      assert.equal(status, 200);
    }
  });

  test('refuses another uid by the word of the kernel, even where the file mode lets it in', {
    skip: whyNotNobody() ?? false,
  }, async (t) => {
    const { socketPath } = await startAdmin(t);
    chmodSync(path.dirname(socketPath), 0o755);
    chmodSync(socketPath, 0o666);
    const child = runChild(
      t,
      `import { request } from 'node:http';
       request({ socketPath: ${JSON.stringify(socketPath)}, path: '/v1/entries', headers: { authorization: 'Bearer ${TOKEN}' } }, (response) => {
         let text = '';
         response.on('data', (chunk) => { text += chunk; });
         response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, body: JSON.parse(text) })));
       }).end();`,
      NOBODY,
    );
    const { status, body } = JSON.parse(await child.firstLine);
    assert.equal(status, 403);
    assert.equal(body.code, 'ERR_FORBIDDEN');
  });

  test('refuses a uid that is neither the owner nor root, also for health', async (t) => {
    const { socketPath } = await startAdmin(t, {
      unixCaller: () => ({ uid: process.getuid!() + 4_242, pid: 1, contained: undefined }),
    });
    for (const url of [...PATHS, '/healthz', '/readyz']) {
      const { status, body } = await call(socketPath, 'GET', url);
      assert.equal(status, 403, url);
      assert.equal(body.code, 'ERR_FORBIDDEN');
    }
  });

  test('refuses everybody when the kernel does not say which process is calling', async (t) => {
    const { socketPath } = await startAdmin(t, {
      unixCaller: () => {
        throw new Error('getsockopt: ENOTCONN');
      },
    });
    const { status, headers, text, body } = await call(socketPath, 'GET', '/v1/entries');
    assert.equal(status, 403);
    assert.match(headers['content-type']!, /^application\/problem\+json/);
    assert.equal(body.code, 'ERR_FORBIDDEN');
    assert.doesNotMatch(text, /ENOTCONN/);
  });

  test('belongs to its owner and root', () => {
    const ask = (uid: number) =>
      refusal(
        { via: 'unix', uid, pid: 1, contained: undefined },
        { method: 'GET', headers: {}, tls: false, needs: 'admin' },
        { ownerUid: 1_000 },
      );
    assert.equal(ask(0), undefined);
    assert.equal(ask(1_000), undefined);
    assert.equal(ask(1_001), 'ERR_FORBIDDEN');
  });
});

describe('TCP', () => {
  test('wants the token for everything but health', async (t) => {
    const { tcp } = await startAdmin(t);
    for (const url of PATHS) {
      const { status, headers, body } = await call(tcp.port, 'GET', url);
      assert.equal(status, 401, url);
      assert.equal(body.code, 'ERR_UNAUTHORIZED');
      assert.match(headers['www-authenticate']!, /^Bearer/);
    }
    for (const url of ['/healthz', '/readyz']) assert.equal((await call(tcp.port, 'GET', url)).status, 200, url);
    for (const scheme of ['Bearer', 'bearer']) {
      const { status } = await call(tcp.port, 'GET', '/v1/entries', {
        headers: { authorization: `${scheme} ${TOKEN}` },
      });
      assert.equal(status, 200);
    }
  });

  test('takes no other token', async (t) => {
    const { tcp } = await startAdmin(t);
    const wrong = [
      bearer('x'),
      bearer(`${TOKEN}x`),
      bearer(TOKEN.slice(1)),
      { authorization: TOKEN },
      { authorization: '' },
    ];
    for (const headers of [...wrong, { authorization: `Basic ${TOKEN}` }]) {
      assert.equal((await call(tcp.port, 'GET', '/v1/entries', { headers })).status, 401, headers.authorization);
    }
  });

  test('says of a missing, a malformed and a wrong token which it is', async (t) => {
    const { tcp } = await startAdmin(t);
    const rows: readonly (readonly [headers: Record<string, string>, says: RegExp])[] = [
      [{}, /^the request has no token: send .*; the token is in the file of .*--admin-token-file/],
      [{ authorization: TOKEN }, /^the request's Authorization header has another form/],
      [{ authorization: 'Basic eDp5' }, /^the request's Authorization header has another form/],
      [bearer(`${TOKEN}x`), /^the token is not one of this server, or was revoked; the token is in the file/],
    ];
    for (const [headers, says] of rows) {
      const { status, text, body } = await call(tcp.port, 'GET', '/v1/entries', { headers });
      assert.equal(status, 401);
      assert.match(body.detail, says);
      assert.ok(!text.includes(TOKEN));
    }
  });

  test('lets nobody in where there is no token', async (t) => {
    const { tcp } = await startAdmin(t, { token: () => undefined });
    for (const token of ['undefined', TOKEN]) {
      assert.equal((await call(tcp.port, 'GET', '/v1/entries', { headers: bearer(token) })).status, 401);
    }
  });

  for (const host of [
    'localhost',
    'page-1a2b.localhost:8443',
    'LOCALHOST:99',
    '127.0.0.1',
    '127.8.9.1:80',
    '[::1]:443',
    'sidekey.example',
    'Sidekey.Example:1',
  ]) {
    test(`knows the host ${host}`, async (t) => {
      const { tcp } = await startAdmin(t);
      const { status } = await call(tcp.port, 'GET', '/v1/entries', { headers: { host, ...bearer(TOKEN) } });
      assert.equal(status, 200);
    });
  }

  for (const host of [
    'evil.example',
    'localhost.evil.example',
    'evil.page.localhost',
    '.localhost',
    'page_1.localhost',
    '127.0.0.1.evil.example',
    '127.0.0.256',
    '0.0.0.0',
    '10.0.0.1',
    '[::2]',
    'sidekey.example.',
    'sidekey.example:x',
    'sidekey.example@evil.example',
    'x.sidekey.example',
  ]) {
    test(`refuses the host ${host} with 403, token or not`, async (t) => {
      const { tcp } = await startAdmin(t);
      for (const url of ['/v1/entries', '/healthz', '/nothing']) {
        const { status, body } = await call(tcp.port, 'GET', url, { headers: { host, ...bearer(TOKEN) } });
        assert.equal(status, 403);
        assert.equal(body.code, 'ERR_FORBIDDEN_HOST');
      }
    });
  }

  test('refuses a request without a host', () => {
    for (const host of [undefined, '', ':80']) {
      const headers = { ...(host !== undefined && { host }), authorization: `Bearer ${TOKEN}` };
      const asked = { method: 'GET', headers, tls: false, needs: 'open' } as const;
      assert.equal(refusal({ via: 'tcp', address: '127.0.0.1' }, asked, { hosts: [''] }), 'ERR_FORBIDDEN_HOST');
    }
  });

  test('has no word for other origins', async (t) => {
    const { tcp } = await startAdmin(t);
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'POST', ...bearer(TOKEN) };
    for (const method of ['OPTIONS', 'GET']) {
      const answer = await call(tcp.port, method, '/v1/entries', { headers });
      assert.deepEqual(
        Object.keys(answer.headers).filter((name) => name.startsWith('access-control')),
        [],
      );
      assert.equal(answer.status, method === 'GET' ? 200 : 405);
    }
  });
});
