import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { aimed } from '../../src/cli/target.ts';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

const TOKEN = 'sixteen-letters!';

test('the variables name server and token where no flag does', async (t) => {
  const asked: (string | undefined)[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.headers.authorization);
    response.setHeader('content-type', 'application/json').end('{"status":"ok"}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const tokenFile = path.join(tempDir(t), 'token');
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
  const env = {
    SIDEKEY_ADMIN_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    SIDEKEY_TOKEN_FILE: tokenFile,
    // As for `serve` in the same shell.
    SIDEKEY_ADMIN_SOCKET: '/nonexistent/admin.sock',
  };

  assert.equal((await sidekey(['healthcheck'], { env })).status, 0);
  assert.deepEqual(asked, [`Bearer ${TOKEN}`]);
  const bySocket = await sidekey(['healthcheck', '--admin-socket', '/nonexistent/x.sock'], { env });
  assert.match(bySocket.stderr, /x\.sock/);
  const otherToken = await sidekey(['healthcheck', '--token-file', '/nonexistent'], { env });
  assert.match(otherToken.stderr, /--token-file: .*ENOENT/);
  assert.equal(asked.length, 1);
});

test('a variable that is wrong is told by its name', async () => {
  const url = await sidekey(['entry', 'list'], { env: { SIDEKEY_ADMIN_URL: 'nonsense' } });
  assert.equal(url.status, 2);
  assert.match(url.stderr, /SIDEKEY_ADMIN_URL: "nonsense" is not an http or https URL/);
  const env = { SIDEKEY_ADMIN_URL: 'http://127.0.0.1:1', SIDEKEY_TOKEN_FILE: '/nonexistent' };
  assert.match((await sidekey(['entry', 'list'], { env })).stderr, /SIDEKEY_TOKEN_FILE: .*ENOENT/);
});

test('a command that is given goes to the server that was asked, from any shell', () => {
  const output = 'table';
  assert.equal(aimed('sidekey entry delete x', { output }), 'sidekey entry delete x');
  assert.equal(
    aimed('sidekey entry delete x', { output, adminSocket: '/a b/admin.sock' }),
    "sidekey entry delete x --admin-socket '/a b/admin.sock'",
  );
  assert.equal(
    aimed('sidekey explain d-1', { output, adminUrl: 'http://h:1', tokenFile: '/t' }),
    'sidekey explain d-1 --admin-url http://h:1 --token-file /t',
  );
  for (const other of ['chmod 600 /x', 'sidekey serve --admin-socket /x', 'sidekey envoy bootstrap']) {
    assert.equal(aimed(other, { output, adminSocket: '/a' }), other);
  }
});
