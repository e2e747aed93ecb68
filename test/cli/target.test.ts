import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { aimed } from '../../src/cli/target.ts';
import { makeCertificate } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment, ROOT, sidekey } from './support.ts';

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

/** A socket file that nobody listens on. */
function leaveSocket(file: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const listen = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
}

test('the socket that is asked is the one in the data directory, as serve in the same shell has it', async (t) => {
  const dataDir = tempDir(t);
  const { stderr } = await sidekey(['healthcheck'], { env: { SIDEKEY_DATA_DIR: dataDir } });
  assert.match(stderr, new RegExp(`^sidekey: ${dataDir}/admin.sock: this socket does not exist: .*SIDEKEY_DATA_DIR`));
  const named = await sidekey(['healthcheck', '--admin-socket', '/nonexistent/x.sock'], {
    env: { SIDEKEY_DATA_DIR: dataDir },
  });
  assert.match(named.stderr, /^sidekey: \/nonexistent\/x.sock: this socket does not exist: start sidekey serve/);
});

test('where the socket of an earlier version is, a command says so and does not use it', async (t) => {
  const folder = tempDir(t);
  chmodSync(folder, 0o711);
  const [runtime, home] = ['runtime', 'home'].map((name) => path.join(folder, name)) as [string, string];
  leaveSocket(path.join(runtime, 'sidekey/admin.sock'));
  const script = `
    import { openClient } from ${JSON.stringify(path.join(ROOT, 'src/cli/target.ts'))};
    process.geteuid = () => 1000;
    const client = await openClient({ output: 'table' });
    await client.json('GET', '/readyz').catch(({ message }) => console.log(message));`;
  const env = { ...cleanEnvironment(), XDG_RUNTIME_DIR: runtime, HOME: home, XDG_STATE_HOME: '' };
  const run = () =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' }).stdout;
  const [former, today] = [`${runtime}/sidekey/admin.sock`, `${home}/.local/state/sidekey/admin.sock`];
  assert.equal(
    run(),
    `${today}: this socket does not exist, but there is one at ${former}, the default place of earlier versions: restart that server with this version, or ask it with --admin-socket ${former}\n`,
  );
  leaveSocket(today);
  assert.match(run(), /no process listens there/);
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

test('a TLS client on a port of clear text, and the reverse, get a sentence', async (t) => {
  const clear = http.createServer((_, response) => response.end());
  const { privateKey, pem } = await makeCertificate();
  const secure = https.createServer({ key: privateKey, cert: pem }, (_, response) => response.end());
  const urlOf = async (server: http.Server | https.Server) => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const onClear = await sidekey(['healthcheck', '--admin-url', `https://${await urlOf(clear)}`]);
  assert.equal(onClear.status, 1);
  assert.match(onClear.stderr, /this port speaks clear text, .*use an http:\/\/ URL \(ERR_UNREACHABLE\)/);
  const onTls = await sidekey(['healthcheck', '--admin-url', `http://${await urlOf(secure)}`]);
  assert.equal(onTls.status, 1);
  assert.match(onTls.stderr, /this port speaks TLS, so use an https:\/\/ URL \(ERR_UNREACHABLE\)/);
});

test('a socket may be a URL, and an abstract one is refused with the reason', async () => {
  for (const form of ['unix:///nonexistent/x.sock', 'unix:/nonexistent/x.sock']) {
    const { stderr } = await sidekey(['healthcheck', '--admin-socket', form]);
    assert.match(stderr, /^sidekey: \/nonexistent\/x\.sock: this socket does not exist/);
    const fetched = await sidekey(['fetch'], { env: { SPIFFE_ENDPOINT_SOCKET: form } });
    assert.match(fetched.stderr, /^sidekey: \/nonexistent\/x\.sock: this socket does not exist/);
  }
  const abstract = await sidekey(['healthcheck'], { env: { SIDEKEY_ADMIN_SOCKET: '@sidekey' } });
  assert.equal(abstract.status, 2);
  assert.match(abstract.stderr, /^sidekey: SIDEKEY_ADMIN_SOCKET: "@sidekey" is an abstract socket; /);
});
