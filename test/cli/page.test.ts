/** `sidekey page`: the real command before a real server; its port as any user of the host finds it. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it, type TestContext } from 'node:test';
import { browserOpener, openLink } from '../../src/cli/page-opener.ts';
import { makePlace, ROOT, type Served, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

interface Page {
  readonly child: ChildProcess;
  /** `http://sidekey-….localhost:PORT`. */
  readonly origin: string;
  readonly host: string;
  readonly port: number;
  readonly code: string;
}

async function openPage(t: Pick<TestContext, 'after'>, ...args: string[]): Promise<Page> {
  const child = spawn(path.join(ROOT, 'bin/sidekey'), ['page', '--no-open', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const stderr = text(child.stderr!);
  let printed = '';
  for await (const chunk of child.stdout!.setEncoding('utf8')) {
    printed += chunk as string;
    if (printed.includes('\n')) break;
  }
  const match = /^(http:\/\/(sidekey-[0-9a-f]{16}\.localhost:(\d+)))\/#code=([\w-]{43})\n$/.exec(printed);
  assert.ok(match, `${printed}${match === null ? await stderr : ''}`);
  const [, origin, host, port, code] = match as unknown as [string, string, string, string, string];
  return { child, origin, host, port: Number(port), code };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly body: any;
}

async function ask(
  { port, host }: Pick<Page, 'port' | 'host'>,
  method: string,
  url: string,
  { headers = {}, json }: { headers?: Record<string, string | string[]>; json?: unknown } = {},
): Promise<Answer> {
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    method,
    path: url,
    headers: { host, ...type, ...headers },
    agent: false,
  });
  request.end(json === undefined ? undefined : JSON.stringify(json));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const body = await text(response);
  const isJson = /json/.test(response.headers['content-type'] ?? '');
  return { status: response.statusCode!, headers: response.headers, body: isJson ? JSON.parse(body) : body };
}

/** Signs in; resolves to the headers of a browser's requests. */
async function signIn(page: Page): Promise<{ cookie: string; 'x-sidekey-csrf': string; origin: string }> {
  const { status, headers, body } = await ask(page, 'POST', '/v1/page/session', {
    headers: { origin: page.origin },
    json: { code: page.code },
  });
  assert.equal(status, 200, JSON.stringify(body));
  return { cookie: headers['set-cookie']![0]!.split(';')[0]!, 'x-sidekey-csrf': body.csrf, origin: page.origin };
}

/** Sends bytes, and resolves to all that comes back. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  // Left open for writing, as an attacker would.
  socket.write(bytes);
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk;
  });
  await once(socket, 'close');
  return answer;
}

describe('sidekey page', { timeout: 120_000 }, () => {
  let server: Served;
  let page: Page;
  const cleanups: (() => unknown)[] = [];
  const t = { after: (step: () => unknown) => void cleanups.push(step) } as Pick<TestContext, 'after'>;
  before(async () => {
    server = await serve(t, { logLevel: 'info' });
    page = await openPage(t, '--admin-socket', server.adminSocket, '--name', 'ada');
  });
  after(async () => {
    for (const step of cleanups.toReversed()) await step();
  });

  it('gives a browser the page, a session, and what its role allows', async () => {
    const index = await ask(page, 'GET', '/');
    assert.equal(index.status, 200);
    assert.match(index.headers['content-security-policy'] as string, /default-src 'none'/);
    const headers = await signIn(page);
    const spiffe_id = 'spiffe://ilinux.io/web';
    const made = await ask(page, 'POST', '/v1/entries', { headers, json: { spiffe_id, selectors: ['unix:uid:4242'] } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const { body } = await server.request('GET', '/v1/audit?action=entry.created');
    const { kind, name, made_by, pid } = body.rows[0].actor;
    assert.deepEqual({ kind, name, made_by }, { kind: 'session', name: 'ada', made_by: `unix:${process.geteuid!()}` });
    // bin/sidekey becomes node by exec.
    assert.equal(pid, page.child.pid);
    const again = await ask(page, 'POST', '/v1/page/session', {
      headers: { origin: page.origin },
      json: { code: page.code },
    });
    assert.deepEqual([again.status, again.body.code], [401, 'ERR_LINK']);
  });

  it('answers under its own name only', async () => {
    for (const host of [
      'evil.example',
      `evil.localhost:${page.port}`,
      'localhost',
      `127.0.0.1:${page.port}`,
      `${page.host}0`,
      `${page.host}.`,
    ]) {
      for (const url of ['/', '/v1/entries']) {
        const { status, body } = await ask({ ...page, host }, 'GET', url);
        assert.deepEqual([status, body.code], [403, 'ERR_FORBIDDEN_HOST'], host);
      }
    }
    assert.equal((await ask({ ...page, host: page.host.toUpperCase() }, 'GET', '/')).status, 200);
  });

  it('never gives the rights of the socket', async () => {
    const own = `Host: ${page.host}\r\n`;
    const tries: Record<string, string> = {
      'a plain request': `GET /v1/entries HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      'the mark of its own, empty': `GET /v1/entries HTTP/1.1\r\n${own}Sidekey-Via:\r\nConnection: close\r\n\r\n`,
      'the mark as a hop-by-hop header': `GET /v1/entries HTTP/1.1\r\n${own}Connection: close, sidekey-via\r\n\r\n`,
      'an absolute target': `GET http://${page.host}/v1/entries HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      'a target of another host': `GET http://x/v1/entries HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      CONNECT: `CONNECT ${page.host} HTTP/1.1\r\n${own}\r\nGET /v1/entries HTTP/1.1\r\nHost: x\r\n\r\n`,
      'an upgrade': `GET /v1/entries HTTP/1.1\r\n${own}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
      'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'HTTP/1.0': 'GET /v1/entries HTTP/1.0\r\n\r\n',
      'two hosts': `GET /v1/entries HTTP/1.1\r\n${own}Host: x\r\nConnection: close\r\n\r\n`,
      'two lengths': `POST /v1/entries HTTP/1.1\r\n${own}Content-Length: 0\r\nContent-Length: 44\r\n\r\nGET /v1/entries HTTP/1.1\r\nHost: x\r\n\r\n`,
      'length and chunks': `POST /v1/page/session HTTP/1.1\r\n${own}Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/entries HTTP/1.1\r\nHost: x\r\n\r\n`,
      'chunks by another spelling': `POST /v1/page/session HTTP/1.1\r\n${own}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /v1/entries HTTP/1.1\r\nHost: x\r\n\r\n`,
      'a body that hides a request': `POST /v1/page/session HTTP/1.1\r\n${own}Content-Type: application/json\r\nContent-Length: 57\r\nConnection: close\r\n\r\nGET /v1/entries HTTP/1.1\r\nHost: x\r\nX-Padding: 0123\r\n\r\n12345`,
      'a line feed in a header': `GET /v1/entries HTTP/1.1\r\n${own}Accept: a\nX: b\r\nConnection: close\r\n\r\n`,
      'a folded header': `GET /v1/entries HTTP/1.1\r\n${own}Accept: a\r\n sidekey-via: b\r\nConnection: close\r\n\r\n`,
      'a target with a space': `GET /v1/entries HTTP/1.1 HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      'two cookies': `GET /v1/entries HTTP/1.1\r\n${own}Cookie: a=b\r\nCookie: c=d\r\nConnection: close\r\n\r\n`,
      'a token': `GET /v1/entries HTTP/1.1\r\n${own}Authorization: Bearer ${readFileSync(path.join(server.dataDir, 'admin.token'), 'utf8').trim()}\r\nConnection: close\r\n\r\n`,
      'requests in one go': `GET /v1/nothing HTTP/1.1\r\n${own}\r\nGET /v1/entries HTTP/1.1\r\n${own}\r\nPOST /v1/backup HTTP/1.1\r\n${own}Content-Length: 0\r\nConnection: close\r\n\r\n`,
      TRACE: `TRACE /v1/entries HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      OPTIONS: `OPTIONS * HTTP/1.1\r\n${own}Connection: close\r\n\r\n`,
      'a preflight': `OPTIONS /v1/entries HTTP/1.1\r\n${own}Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n`,
    };
    for (const [name, bytes] of Object.entries(tries)) {
      const answer = await exchange(page.port, bytes);
      for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm))
        assert.match(status!, /^4/, `${name}: ${answer}`);
      assert.doesNotMatch(answer, /"next_cursor"|access-control-allow/i, name);
    }
    const rows = (await server.request('GET', '/v1/audit?actor=unix')).body.rows as { action: string }[];
    assert.deepEqual(
      rows.map(({ action }) => action),
      ['session.link_made'],
    );
  });

  it('does not pass on a body that was cut off', async () => {
    const socket = net.connect(page.port, '127.0.0.1');
    const head = `POST /v1/page/session HTTP/1.1\r\nHost: ${page.host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`;
    socket.end(`${head}{"code":"x"}`);
    socket.on('error', () => undefined).resume();
    await once(socket, 'close');
    assert.equal((await ask(page, 'GET', '/')).status, 200);
  });

  it('keeps the page usable while other users of the host hold all the connections they can', async (t) => {
    const other = await openPage(t, '--admin-socket', server.adminSocket);
    const headers = await signIn(other);
    const request = httpRequest({
      host: '127.0.0.1',
      port: other.port,
      path: '/v1/page/events',
      headers: { host: other.host, ...headers },
    }).end();
    t.after(() => request.destroy());
    request.on('error', () => undefined);
    const [events] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(events.statusCode, 200);
    let isCut = false;
    events.on('close', () => {
      isCut = true;
    });
    events.on('error', () => undefined).resume();
    const sockets = Array.from({ length: 200 }, () =>
      net.connect(other.port, '127.0.0.1').on('error', () => undefined),
    );
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    assert.equal((await ask(other, 'GET', '/v1/page/session', { headers })).status, 200);
    assert.ok(!isCut);
  });

  it('ends with its port and its file when it is told to', async (t) => {
    const other = await openPage(t, '--admin-socket', server.adminSocket, '--role', 'read');
    const closed = once(other.child, 'close');
    other.child.kill('SIGINT');
    assert.deepEqual(await closed, [0, null]);
    await assert.rejects(exchangeOnce(other.port), { code: 'ECONNREFUSED' });
  });

  it('says what is wrong with its flags', async (t) => {
    const run = async (...args: string[]) => {
      const child = spawn(path.join(ROOT, 'bin/sidekey'), ['page', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      t.after(() => child.kill('SIGKILL'));
      const stderr = await text(child.stderr!);
      return { status: child.exitCode, stderr };
    };
    const at = ['--admin-socket', server.adminSocket];
    for (const [args, said] of [
      [[...at, '--role', 'root'], /Allowed choices are read, entries, admin/],
      [[...at, '--port', '0'], /give a port from 1 to 65535/],
      [[...at, '--port', String(page.port)], /another program has it/],
      [[...at, '--name', '-x y'], /a name is 1 to 64/],
      [['--admin-url', 'http://127.0.0.1:1/prefix'], /only at the root of a host/],
      [['--admin-url', 'https://localhost:1'], /needs one of its own/],
      [['--admin-url', 'http://127.0.0.1:1', '--port', '4'], /--port is for/],
    ] as const) {
      const { stderr } = await run(...args);
      assert.match(stderr, said, args.join(' '));
    }
  });

  it('needs no port of its own where the page is on TCP', async (t) => {
    const place = makePlace(t);
    const onTcp = await serve(t, { place, flags: ['--admin-listen', '127.0.0.1:0'], logLevel: 'info' });
    const { port } = await onTcp.logged('admin API listens on TCP');
    const { child, ...other } = await openPage(t, '--admin-socket', onTcp.adminSocket);
    if (child.exitCode === null) await once(child, 'close');
    assert.deepEqual([child.exitCode, other.port], [0, port]);
    await signIn({ child, ...other });
    const token = path.join(onTcp.dataDir, 'admin.token');
    const byUrl = await openPage(t, '--admin-url', `http://127.0.0.1:${port}`, '--token-file', token);
    assert.equal(byUrl.port, port);
    await signIn(byUrl);
  });
});

async function exchangeOnce(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
}

describe('opening the link', () => {
  it('needs a desktop of a user who is not root', (t) => {
    const folder = tempDir(t);
    const program = path.join(folder, 'xdg-open');
    const env = { PATH: `relative:/nowhere:${folder}`, DISPLAY: ':0' };
    assert.equal(browserOpener(env, 1_000), undefined);
    writeFileSync(program, '#!/bin/sh\n');
    assert.equal(browserOpener(env, 1_000), undefined);
    chmodSync(program, 0o755);
    assert.equal(browserOpener(env, 1_000), program);
    assert.equal(browserOpener({ ...env, DISPLAY: '' }, 1_000), undefined);
    assert.equal(browserOpener({ PATH: env.PATH, WAYLAND_DISPLAY: 'w' }, 1_000), program);
    assert.equal(browserOpener(env, 0), undefined);
  });

  it('gives the browser a file that nobody else reads, and no argument with the code', async (t) => {
    const folder = tempDir(t);
    const runtime = path.join(folder, 'run');
    mkdirSync(runtime);
    const program = path.join(folder, 'xdg-open');
    const seen = path.join(folder, 'seen');
    writeFileSync(
      program,
      `#!/bin/sh\n{ echo "$@"; stat -c %a "$1" "$(dirname "$1")"; cat "$1"; } > ${seen}.new && mv ${seen}.new ${seen}\n`,
    );
    chmodSync(program, 0o755);
    const former = process.env.XDG_RUNTIME_DIR;
    process.env.XDG_RUNTIME_DIR = runtime;
    t.after(() => {
      if (former === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = former;
    });
    const remove = openLink(program, 'http://a.localhost:1/#code=secret');
    while (!existsSync(seen)) await new Promise((resolve) => setTimeout(resolve, 10));
    const [argument, file, directory, ...content] = readFileSync(seen, 'utf8').split('\n');
    assert.doesNotMatch(argument!, /secret/);
    assert.deepEqual([file, directory], ['600', '700']);
    assert.match(content.join('\n'), /url=http:\/\/a\.localhost:1\/#code=secret"/);
    remove();
    assert.deepEqual(readdirSync(runtime), []);
  });
});
