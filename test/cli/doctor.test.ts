import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type Ran, sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const BOOTSTRAP = ['envoy', 'bootstrap', '--spiffe-id', WEB, '--listen', '0.0.0.0:1', '--to', '127.0.0.1:2'];
const NOBODY = ['--admin-socket', '/nonexistent/admin.sock'];

/** A socket that is there. */
const pipe = path.join(mkdtempSync(path.join(tmpdir(), 'sidekey-')), 'agent.sock');
const listener = net.createServer().listen(pipe);
after(() => {
  listener.close();
  rmSync(path.dirname(pipe), { recursive: true, force: true });
});

async function bootstrap(socket = pipe): Promise<string> {
  return (await sidekey([...BOOTSTRAP, '--socket', socket])).stdout;
}

function doctor(t: TestContext, text: string, ...args: readonly string[]): { file: string; ran: Promise<Ran> } {
  const file = path.join(tempDir(t), 'envoy.yaml');
  writeFileSync(file, text);
  return { file, ran: sidekey(['doctor', '--envoy', file, ...args]) };
}

describe('sidekey doctor --envoy', { concurrency: 2 }, () => {
  test('tells each fault with file, line, reason and remedy, and has status 1', async (t) => {
    const text = (await bootstrap()).replace('require_client_certificate: true', 'require_client_certificate: false');
    const line = text.split('\n').findIndex((one) => one.includes('require_client_certificate')) + 1;
    const { file, ran } = doctor(t, text, ...NOBODY);
    const { status, stdout, stderr } = await ran;
    assert.deepEqual([status, stderr], [1, 'sidekey: found 1 error\n']);
    const first = `${file}:${line}: error: require_client_certificate is not true [client-certificate]\n  why: `;
    assert.ok(stdout.startsWith(first), stdout);
    const command = `sed -i '${line}s|require_client_certificate: false|require_client_certificate: true|' ${file}`;
    assert.ok(stdout.includes(`\n  fix: require_client_certificate: true\n  run: ${command}\n`), stdout);
  });

  test('prints no command with a name that a terminal would not show as it is; --output json has it whole', async (t) => {
    const text = (await bootstrap()).replace('require_client_certificate: true', 'require_client_certificate: false');
    const file = path.join(tempDir(t), 'en\u0007voy\u202e.yaml');
    writeFileSync(file, text);
    const { stdout } = await sidekey(['doctor', '--envoy', file, ...NOBODY]);
    assert.match(stdout, /\n {2}no command: a name in it has characters that a terminal does not show/);
    assert.doesNotMatch(stdout, /\n {2}run:/);
    const { findings } = JSON.parse((await sidekey(['doctor', '--envoy', file, '--output', 'json', ...NOBODY])).stdout);
    assert.ok(findings[0].command.endsWith(`'${file}'`), findings[0].command);
  });

  test('has status 0 where there is no error, and says what it could not look at', async (t) => {
    const text = (await bootstrap()).replace(/ +retry_policy: .*\n/, '');
    const { status, stdout, stderr } = await doctor(t, text, ...NOBODY).ran;
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /warning: there is no retry_back_off/);
    assert.match(
      stdout,
      /not checked: whether an entry gives each name of .*\n {2}because: .*this socket does not exist/,
    );
    assert.ok(stdout.endsWith('\nfound 1 warning\n'), stdout);
  });

  test('holds the names against the entries of the server', async (t) => {
    const server = await serve(t);
    const text = await bootstrap(server.socket);
    const flags = ['--admin-socket', server.adminSocket, '--output', 'json'];
    const { file, ran } = doctor(t, text, ...flags);
    const before = await ran;
    assert.deepEqual([before.status, before.stderr], [1, 'sidekey: found 1 error\n']);
    const { findings, skipped } = JSON.parse(before.stdout);
    assert.deepEqual(skipped, []);
    assert.deepEqual(
      findings.map(({ rule, severity, place, problem }: Record<string, unknown>) => [rule, severity, place, problem]),
      [['no-entry', 'error', file, `no entry gives ${WEB}`]],
    );
    const entry = { spiffe_id: WEB, selectors: [{ type: 'unix', value: 'uid:1' }] };
    assert.equal((await server.request('POST', '/v1/entries', entry)).status, 201);
    const after = await sidekey(['doctor', '--envoy', file, ...flags]);
    assert.deepEqual([after.status, JSON.parse(after.stdout)], [0, { findings: [], skipped: [] }]);
  });

  test('reads stdin for -, and several files', async (t) => {
    const file = path.join(tempDir(t), 'broken.yaml');
    writeFileSync(file, '{');
    const args = ['doctor', '--envoy', '-', '--envoy', file, '--output', 'json', ...NOBODY];
    const { status, stdout } = await sidekey(args, { stdin: await bootstrap() });
    assert.equal(status, 1);
    const places = JSON.parse(stdout).findings.map(({ rule, place }: Record<string, unknown>) => [rule, place]);
    assert.deepEqual(new Set(places.map(String)), new Set([`syntax,${file}`]));
  });

  test('is used wrongly with a file that is not there', async () => {
    const missing = await sidekey(['doctor', '--envoy', '/nonexistent']);
    assert.equal(missing.status, 2);
    assert.match(missing.stderr, /--envoy: ENOENT/);
  });
});

describe('sidekey doctor', { concurrency: 2 }, () => {
  test('looks at the server and its host, worst first, and has status 1 for an error', async (t) => {
    const server = await serve(t);
    const admin = ['--admin-socket', server.adminSocket];
    const well = await sidekey(['doctor', ...admin]);
    assert.deepEqual([well.status, well.stderr], [0, ''], well.stdout);
    chmodSync(server.adminSocket, 0o666);
    chmodSync(path.join(server.dataDir, 'sidekey.db'), 0o644);
    const ill = await sidekey(['doctor', ...admin, '--output', 'json']);
    assert.equal(ill.status, 1);
    const rules = JSON.parse(ill.stdout).findings.map(({ rule }: { rule: string }) => rule);
    assert.equal(rules[0], 'data-dir-open');
    assert.ok(rules.includes('admin-socket-open'), String(rules));
  });

  test('says what is with a server that does not answer', async () => {
    const { status, stdout } = await sidekey(['doctor', ...NOBODY]);
    assert.equal(status, 1);
    assert.match(
      stdout,
      /^\/nonexistent\/admin\.sock: error: this socket does not exist: no server runs here \[no-server\]/,
    );
  });

  test('asks over a URL for what the server knows, and leaves its files alone', async (t) => {
    const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'] });
    const { port } = await server.logged('admin API listens on TCP');
    const token = path.join(server.dataDir, 'admin.token');
    const args = ['doctor', '--admin-url', `http://127.0.0.1:${port}`, '--token-file', token];
    const { status, stdout, stderr } = await sidekey(args);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /not checked: sockets and files of .*\n {2}because: the server is asked over a URL/);
  });

  test('is used wrongly with an admin port that is no URL', async () => {
    assert.equal((await sidekey(['doctor', '--envoy-admin', 'x'])).status, 2);
  });
});
