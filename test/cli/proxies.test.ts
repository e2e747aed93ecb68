/** `sidekey proxies` against a whole server, whose clients are as good or bad as the test wants. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import readline from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import type { SecretJson } from '../../src/admin/proxy-schema.ts';
import { BACKDATE_MS } from '../../src/base/validity.ts';
import { troubleOf } from '../../src/cli/proxy-check.ts';
import { cellsOf, type ProxyRow } from '../../src/cli/proxy-rows.ts';
import { screen } from '../../src/cli/proxy-show.ts';
import { endAfter } from '../support/caller.ts';
import { type InnerServer, startInnerServer } from '../support/inner-server.ts';
import type { SdsStream } from '../support/sds-client.ts';
import { cleanEnvironment, ROOT, sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';

interface World extends InnerServer {
  readonly stream: SdsStream;
  run(...args: string[]): ReturnType<typeof sidekey>;
  /** Resolves when the server knows this of the name. */
  knows(name: string, state: string): Promise<void>;
}

async function world(t: TestContext): Promise<World> {
  const server = await startInnerServer(t);
  const stream = server.connect().stream();
  t.after(() => stream.cancel());
  const env = { SIDEKEY_ADMIN_SOCKET: server.adminSocket };
  return {
    ...server,
    stream,
    run: (...args) => sidekey(['proxies', ...(args.includes('--output') ? [] : ['-o', 'wide']), ...args], { env }),
    async knows(name, state) {
      for (;;) {
        const query = new URLSearchParams({ name, state });
        const { proxies } = await server.admin.json<{ proxies: unknown[] }>('GET', `/v1/proxies?${query}`);
        if (proxies.length > 0) return;
      }
    },
  };
}

/** Cells are two spaces apart. */
function table(stdout: string): string[][] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
}

describe('sidekey proxies', { timeout: 60_000 }, () => {
  it('prints a line for each secret, or all there is as JSON', async (t) => {
    const { run, stream, create } = await world(t);
    await create(WEB);
    stream.ask(WEB, API);
    const response = await stream.next();
    const { status, stdout, stderr } = await run();
    assert.equal(status, 0, stderr);
    const [header, web, api] = table(stdout);
    assert.deepEqual(header, [
      ...['NODE', 'PID', 'VARIANT', 'NAME', 'STATE', 'VERSION', 'SERIAL', 'EXPIRES', 'DETAIL'],
    ]);
    const serial = web![6]!;
    const pid = String(process.pid);
    assert.deepEqual(web, ['test', pid, 'sotw', WEB, 'sent', response.versionInfo, serial, 'in 1h', '-']);
    const why = `no-entry: no entry gives ${API}`;
    assert.deepEqual(api, ['test', pid, 'sotw', API, 'held', '-', '-', '-', why]);

    const json = JSON.parse((await run('--output', 'json', '--spiffe-id', WEB)).stdout);
    assert.equal(json.at, '2026-06-01T12:00:00.000Z');
    assert.deepEqual(
      json.proxies[0].streams[0].secrets.map((secret: SecretJson) => [secret.name, secret.serial]),
      [[WEB, serial]],
    );
    assert.equal(table((await run('--state', 'held', '--node', 'test', '--pid', pid)).stdout).length, 2);
    assert.equal(table((await run('--state', 'rejected', 'stale')).stdout).length, 1);
  });

  it('fits 80 columns by default, with the whole detail below', async (t) => {
    const { run, stream, create } = await world(t);
    await create(WEB);
    const long = `${API}/${'part/'.repeat(20)}end`;
    stream.ask(WEB, API, long);
    await stream.next();
    const { stdout } = await run('--output', 'table');
    const lines = stdout.trimEnd().split('\n');
    assert.match(lines[0]!, /^NODE +PID +NAME +STATE +EXPIRES$/);
    const held = lines.findIndex((line) => line.includes(`${API} `));
    assert.match(lines[held]!, / held +-$/);
    const at = lines.indexOf(`    no-entry: no entry gives ${API}`);
    assert.equal(at, held + 1);
    const narrow = (await run('--output', 'table', '--spiffe-id', WEB)).stdout.trimEnd().split('\n');
    assert.ok(
      narrow.every((line) => line.length <= 80),
      narrow.join('\n'),
    );
    const whole = lines.join(' ').replaceAll(/\s+/g, ' ');
    assert.ok(whole.includes(`no entry gives ${long}`), 'a detail that is longer than a line is kept');
    assert.equal((await run('--output', 'name')).stdout, 'test\n');
  });

  it('--check tells what needs somebody, with status 1, and else that nothing does', async (t) => {
    const { run, stream, create, clock, knows } = await world(t);
    await create(WEB);
    stream.ask(WEB, API);
    const response = await stream.next();
    const fine = await run('--check');
    assert.deepEqual(fine, {
      status: 0,
      stdout:
        'nothing needs attention: 2 secrets on 1 proxy, 1 of them held for an entry that never existed (sidekey proxies --state held)\n',
      stderr: '',
    });

    const { nonce: responseNonce } = response;
    const names = { resourceNames: [WEB, API], responseNonce };
    stream.send({ ...names, errorDetail: { code: 13, message: 'no such key' } });
    await knows(WEB, 'rejected');
    const rejected = await run('--check');
    assert.equal(rejected.status, 1);
    const [, ...lines] = table(rejected.stdout);
    assert.deepEqual(
      lines.map((cells) => [cells[3], cells[4], cells.at(-1)]),
      [[WEB, 'rejected', 'rejected: no such key']],
    );
    assert.equal(rejected.stderr, 'sidekey: 1 of 2 secrets need attention\n');

    const json = await run('--check', '--output', 'json');
    assert.equal(json.status, 1);
    const { secrets, troubles } = JSON.parse(json.stdout);
    assert.deepEqual([secrets, troubles.length, troubles[0].trouble], [2, 1, 'rejected: no such key']);

    await create(API);
    await stream.next();
    clock.set(clock.now() + 30_000);
    await knows(API, 'stale');
    const stale = await run('--check', '--spiffe-id', API);
    assert.equal(stale.status, 1);
    assert.match(stale.stdout, /stale: sent 30s ago, and not answered\n$/);
  });

  it('--check tells of a live proxy that lost its entry, and of a name that nobody can have', async (t) => {
    const { run, stream, create, admin, connect, knows } = await world(t);
    const id = await create(WEB);
    const names = [WEB, 'file-root:system', 'spiffe://other.org/web'];
    stream.ask(...names);
    stream.ack(await stream.next(), names);
    await knows('file-root:system', 'unknown');
    await knows('spiffe://other.org/web', 'unknown');
    assert.equal(table((await run('--state', 'unknown')).stdout).length, 3);
    await admin.json('PATCH', `/v1/entries/${id}`, { body: { selectors: ['unix:uid:4000000'] } });
    await knows(WEB, 'held');
    const lost = await run('--check');
    assert.equal(lost.status, 1);
    const details = table(lost.stdout).map((cells) => [cells[3], cells.at(-1)]);
    const [, web, file, foreign] = details;
    assert.equal(web![0], WEB);
    assert.match(web![1]!, /^it had the secret before: lacks-selectors: entry .* to callers with unix:uid:4000000$/);
    assert.match(
      file![1]!,
      /^unknown-name: there can be no secret of this name: .*path_config_source.*sidekey alias set/,
    );
    assert.match(foreign![1]!, /^foreign-id: there can be no secret of this name: .* of another trust domain/);

    // A new process of the same proxy, which has nothing yet: the entry existed.
    await admin.text('DELETE', `/v1/entries/${id}`);
    const other = connect().stream();
    t.after(() => other.cancel());
    other.ask(WEB, API);
    await knows(API, 'held');
    stream.cancel();
    for (;;) {
      const { stdout, status } = await run('--check');
      if (table(stdout).length > 2) continue;
      assert.equal(status, 1);
      assert.match(stdout, /an entry gave it before: no-entry: no entry gives spiffe:\/\/ilinux\.io\/web\n$/);
      break;
    }
    assert.equal((await run('--check', '--name', API)).status, 0);
    const asked = await run('--check', '--waiting', '--name', API);
    assert.equal(asked.status, 1);
    assert.match(asked.stdout, /no-entry: no entry gives spiffe:\/\/ilinux\.io\/api\n$/);
  });

  it('--watch prints what is there and then a line for each change, until the server stops', async (t) => {
    const { adminSocket, stream, create, server, knows } = await world(t);
    stream.ask(WEB);
    await knows(WEB, 'held');
    const child = spawn(
      process.execPath,
      [path.join(ROOT, 'src/cli/main.ts'), 'proxies', '--watch', '--admin-socket', adminSocket],
      { env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    endAfter(t, child);
    const ended = once(child, 'close');
    const stderr: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => ((await lines.next()).value as string).split(/ {2,}/);
    assert.equal((await next())[0], 'TIME');
    const held = await next();
    assert.deepEqual(held.slice(4, 6), [WEB, 'held']);
    const id = await create(WEB);
    stream.ack(await stream.next());
    let line = await next();
    // What lasted too short for a look may be left out.
    while (line[5] === 'sent') line = await next();
    assert.deepEqual(line.slice(4, 6), [WEB, 'in_sync']);
    stream.cancel();
    assert.deepEqual((await next()).slice(4, 6), [WEB, 'gone']);
    assert.ok(id);
    await server.close();
    assert.equal((await ended)[0], 1);
    assert.match(Buffer.concat(stderr).toString(), /^sidekey: .*(stopped|ERR_UNREACHABLE)/);
  });

  it('--watch --output json prints an object a line', async (t) => {
    const { adminSocket, stream, knows } = await world(t);
    stream.ask(WEB);
    await knows(WEB, 'held');
    const args = ['proxies', '--watch', '--output', 'json', '--admin-socket', adminSocket];
    const child = spawn(process.execPath, [path.join(ROOT, 'src/cli/main.ts'), ...args], {
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    endAfter(t, child);
    const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { at, node_id: node, name, state } = JSON.parse((await lines.next()).value as string);
    assert.deepEqual([at, node, name, state], ['2026-06-01T12:00:00.000Z', 'test', WEB, 'held']);
    stream.cancel();
    assert.equal(JSON.parse((await lines.next()).value as string).state, 'gone');
  });

  it('refuses with status 2 what makes no sense', async (t) => {
    const { run } = await world(t);
    for (const args of [['--state', 'fine'], ['--pid', 'x'], ['--watch', '--check'], ['--waiting']]) {
      assert.equal((await run(...args)).status, 2, args.join(' '));
    }
  });
});

const NOW = Date.UTC(2026, 5, 1, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const NONE = { waiting: false, spiffeIds: [] };

function held(reason: string, more: Partial<NonNullable<SecretJson['held']>> = {}, secret: Partial<SecretJson> = {}) {
  const why = {
    reason,
    detail: 'why',
    since: new Date(NOW).toISOString(),
    decision: 'd-1',
    issued_before: null,
    ...more,
  };
  return row({ name: 'spiffe://ilinux.io/web-1', state: 'held', version: null, held: why, ...secret });
}

function row(secret: Partial<SecretJson>): ProxyRow {
  return { secret: { state: 'in_sync', held: null, expires_at: null, not_before: null, ...secret } } as ProxyRow;
}

/** A secret with so much of its life behind it and before it, in milliseconds; its certificate is backdated as all are. */
function aged(behind: number, left: number): ProxyRow {
  return row({
    not_before: new Date(NOW - behind - BACKDATE_MS).toISOString(),
    expires_at: new Date(NOW + left).toISOString(),
  });
}

describe('what needs somebody', () => {
  it('is a certificate that was not renewed: with a third of its life left, or an hour if that is less', () => {
    for (const [behind, left, troubled] of [
      // Of 1 h, as by default: renewed when 27 to 33 minutes are left.
      [33 * MINUTE, 27 * MINUTE, false],
      [40 * MINUTE, 20 * MINUTE, false],
      [40 * MINUTE + 1_000, 20 * MINUTE - 1_000, true],
      // Of 2 h: 54 to 66.
      [66 * MINUTE, 54 * MINUTE, false],
      [81 * MINUTE, 39 * MINUTE, true],
      // Of a day.
      [23 * HOUR, HOUR, false],
      [23 * HOUR + 1_000, HOUR - 1_000, true],
      [20_000, 10_000, false],
      [21_000, 9_000, true],
      // Of 10 s, which is less than certificates are backdated by: renewed when 4.5 to 5.5 seconds are left.
      [0, 10_000, false],
      [5_500, 4_500, false],
      [7_000, 3_000, true],
      [HOUR, 0, true],
      [HOUR, -MINUTE, true],
    ] as const) {
      assert.equal(troubleOf(aged(behind, left), NOW, NONE) !== undefined, troubled, `${behind} ${left}`);
    }
    assert.equal(troubleOf(aged(50 * MINUTE, 10 * MINUTE), NOW, NONE), 'not renewed: the certificate ends in 10m');
    assert.equal(troubleOf(aged(HOUR, -90_000), NOW, NONE), 'ended 1m30s ago');
  });

  it('is no bundle, and no name that waits for an entry that never existed, unless that is asked for', () => {
    assert.equal(troubleOf(row({}), NOW, NONE), undefined);
    const waits = held('no-entry');
    assert.equal(troubleOf(waits, NOW, NONE), undefined);
    assert.equal(troubleOf(waits, NOW, { ...NONE, spiffeIds: [WEB, 'spiffe://ilinux.io/web-2'] }), undefined);
    assert.equal(troubleOf(waits, NOW, { ...NONE, waiting: true }), 'no-entry: why');
    assert.equal(troubleOf(held('no-identity'), NOW, NONE), undefined);
    assert.equal(troubleOf(held('no-identity'), NOW, { ...NONE, waiting: true }), 'no-identity: why');
  });

  it('is a hold of what the proxy had, of what an entry gives to others or gave before, or of what can not come', () => {
    for (const [what, spiffeIds, trouble] of [
      [held('no-entry', {}, { version: 'v' }), [], 'it had the secret before: no-entry: why'],
      [held('no-identity', {}, { version: 'v' }), [], 'it had the secret before: no-identity: why'],
      [held('no-entry', { issued_before: true }), [], 'an entry gave it before: no-entry: why'],
      [held('no-entry'), ['spiffe://ilinux.io/webb-1'], 'did you mean spiffe://ilinux.io/webb-1? no-entry: why'],
      [held('lacks-selectors'), [], 'lacks-selectors: why'],
      [held('contained'), [], 'contained: why'],
      [held('expired'), [], 'expired: why'],
      [held('not-federated'), [], 'not-federated: why'],
      [held('no-bundle'), [], 'no-bundle: why'],
      [held('unknown-name', {}, { state: 'unknown' }), [], 'unknown-name: why'],
      [held('foreign-id', {}, { state: 'unknown' }), [], 'foreign-id: why'],
    ] as const) {
      assert.equal(troubleOf(what, NOW, { ...NONE, spiffeIds }), trouble);
    }
    const over = { not_before: new Date(NOW - HOUR).toISOString(), expires_at: new Date(NOW - MINUTE).toISOString() };
    const broken = held('lacks-selectors', {}, { version: 'v', ...over });
    assert.equal(troubleOf(broken, NOW, NONE), 'ended 1m ago; it had the secret before: lacks-selectors: why');
  });

  it('is a hold that should have ended by itself only when it lasts', () => {
    for (const reason of ['pending', 'facts-missing', 'issuance-failed']) {
      const since = (ago: number) => held(reason, { since: new Date(NOW - ago).toISOString() });
      assert.equal(troubleOf(since(29_999), NOW, NONE), undefined);
      assert.equal(troubleOf(since(30_000), NOW, NONE), `${reason}: why`);
    }
  });
});

describe('a screen', () => {
  it('is as large as the terminal, and says how much is below', () => {
    const secrets = Array.from({ length: 5 }, (_, i) => ({
      name: `name-${i}`,
      state: 'in_sync',
      held: null,
      rejection: null,
      expires_at: null,
    }));
    const proxy = { node_id: 'n\u001b[31m', pid: 7, streams: [{ id: 1, service: 'sds', variant: 'sotw', secrets }] };
    const proxies = { now: NOW, at: 'noon', proxies: [proxy] } as unknown as Parameters<typeof screen>[0];
    const text = screen(proxies, 40, 6);
    const lines = text.split('\n');
    assert.equal(lines.length, 6);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    for (const line of lines) assert.ok(line.replace(/\x1b\[[HKJ]/g, '').length <= 40, line);
    assert.match(lines[4]!, /5 secrets on 1 proxies at noon, 2 of the/);
    assert.ok(!text.includes('\u001b[31m'));
    assert.ok(screen(proxies, 200, 50).includes('name-4'));
  });

  it('shows an ADS stream as one', () => {
    const row = {
      proxy: { node_id: null, pid: 0 },
      stream: { service: 'ads', variant: 'delta' },
      secret: { name: 'x', state: 'sent', held: null, rejection: null, expires_at: null, version: '' },
    };
    assert.deepEqual(cellsOf(row as unknown as ProxyRow, NOW).slice(0, 6), ['-', '0', 'ads-delta', 'x', 'sent', '-']);
  });
});
