import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import type { AdminOptions } from '../../src/admin/admin.ts';
import { parseEntryInput } from '../../src/registry/entry-input.ts';
import { NOT_READY, startAdmin, TOKEN } from '../admin/support.ts';
import { TRUST_DOMAIN } from '../registry/support.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type RunOptions, sidekey } from './support.ts';

async function start(t: TestContext, options: Partial<AdminOptions> = {}) {
  const running = await startAdmin(t, options);
  const run = (args: readonly string[], options: RunOptions = {}) =>
    sidekey(args, { ...options, env: { SIDEKEY_ADMIN_SOCKET: running.socketPath, ...options.env } });
  const json = async (args: readonly string[], options?: RunOptions) => {
    const { status, stdout, stderr } = await run([...args, '--output', 'json'], options);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  };
  return { ...running, run, json };
}

function file(t: TestContext, content: string): string {
  const place = path.join(tempDir(t), 'entries.yaml');
  writeFileSync(place, content);
  return place;
}

const CREATE = ['entry', 'create', '--spiffe-id', 'spiffe://ilinux.io/web', '--selector', 'unix:uid:1000'];

describe('sidekey entry', () => {
  test('takes and shows templates and negative selectors', async (t) => {
    const { run, json } = await start(t);
    const template = 'spiffe://ilinux.io/users/{unix.user}';
    const selectors = ['--selector', 'unix:group:dev', '--selector', '!unix:user:root'];
    const made = await json(['entry', 'create', '--spiffe-id', template, ...selectors]);
    assert.equal(made.spiffe_id, template);
    assert.deepEqual(made.selectors, [
      { type: 'unix', value: 'group:dev' },
      { type: 'unix', value: 'user:root', negated: true },
    ]);
    for (const command of [['list'], ['list', '--selector', '!unix:user:root'], ['show', template]]) {
      const { stdout } = await run(['entry', ...command]);
      assert.match(stdout, /spiffe:\/\/ilinux\.io\/users\/\{unix\.user\}/);
      assert.match(stdout, /!unix:user:root/);
    }
    assert.deepEqual((await json(['entry', 'list', '--selector', 'unix:user:root'])).entries, []);
    const changed = await json(['entry', 'update', template, '--selector', 'unix:group:dev', '--hint', 'user']);
    assert.deepEqual(changed.selectors, [{ type: 'unix', value: 'group:dev' }]);
    const { status, stderr } = await run(['entry', 'create', '--spiffe-id', template, '--selector', '!unix:uid:0']);
    assert.equal(status, 1);
    assert.match(stderr, /--selector.*it has only negative selectors/s);
  });

  test('create makes an entry of its flags and shows it', async (t) => {
    const { json, registry } = await start(t);
    const made = await json([
      ...CREATE,
      ...['--selector', 'unix:path:/usr/bin/envoy', '--x509-svid-ttl', '1h30m', '--jwt-svid-ttl', '60'],
      ...['--x509-svid-key-type', 'rsa-2048'],
      ...['--dns', 'web.example', '--dns', 'www.example', '--hint', 'default', '--expires-at', '2030-01-01T00:00:00Z'],
      ...['--parent-id', 'spiffe://ilinux.io/spire/agent', '--federates-with', 'other.example', '--entry-id', 'web-1'],
    ]);
    const { created_at: createdAt, updated_at: updatedAt, ...rest } = made;
    assert.equal(createdAt, updatedAt);
    assert.deepEqual(rest, {
      id: 'web-1',
      spiffe_id: 'spiffe://ilinux.io/web',
      selectors: [
        { type: 'unix', value: 'path:/usr/bin/envoy' },
        { type: 'unix', value: 'uid:1000' },
      ],
      parent_id: 'spiffe://ilinux.io/spire/agent',
      x509_svid_ttl: 5_400,
      x509_svid_key_type: 'rsa-2048',
      jwt_svid_ttl: 60,
      dns_names: ['web.example', 'www.example'],
      federates_with: ['other.example'],
      hint: 'default',
      allow_contained: false,
      expires_at: '2030-01-01T00:00:00.000Z',
      revision_number: 1,
      source: 'api',
    });
    assert.equal(registry.size, 1);
  });

  test('create, update and delete print the warnings of the server, and name flags', async (t) => {
    const warned = { path: '/x509_svid_ttl', problem: '2d is more than can always be honoured', rule: 'r' };
    const warningsOf = (entries: readonly { x509SvidTtl: number }[]) =>
      entries.flatMap(({ x509SvidTtl }, index) => (x509SvidTtl > 43_200 ? [{ index, warning: warned }] : []));
    const { run } = await start(t, { warningsOf });
    const made = await run([...CREATE, '--entry-id', 'web-1', '--x509-svid-ttl', '48h', '--output', 'json']);
    assert.equal(made.stderr, 'sidekey: warning: --x509-svid-ttl: 2d is more than can always be honoured; r\n');
    assert.ok(!('warnings' in JSON.parse(made.stdout)));
    const refused = await run(['entry', 'create', '--spiffe-id', 'web', '--selector', 'unix:uid:x']);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^sidekey: --spiffe-id: .*\nsidekey: --selector: /);
    const data = file(
      t,
      'entries:\n- spiffe_id: spiffe://ilinux.io/a\n  x509SvidTtl: 48h\n  selectors: [unix:uid:7]\n',
    );
    const several = await run(['entry', 'create', '--data', data]);
    assert.match(several.stderr, /^sidekey: warning: --data: \S+entries\.yaml:3 \/entries\/0\/x509_svid_ttl: 2d/);
  });

  test('update and delete say of an entry that a file declares that the file will undo it', async (t) => {
    const { run, registry } = await start(t);
    const rules = { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false };
    const input = parseEntryInput({ id: 'a', spiffe_id: 'spiffe://ilinux.io/a', selectors: ['unix:uid:1'] }, rules);
    await registry.replaceSource('file', [input]);
    for (const args of [
      ['entry', 'update', 'a', '--hint', 'x'],
      ['entry', 'delete', 'a'],
    ]) {
      const { status, stderr } = await run(args);
      assert.equal(status, 0);
      assert.match(
        stderr,
        /^sidekey: warning: entry a is declared by the server's entries file \(--entries\), which will undo the change; /,
      );
    }
  });

  test('create refuses what is there already with status 1 and names it', async (t) => {
    const { run } = await start(t);
    assert.equal((await run([...CREATE, '--entry-id', 'web-1'])).status, 0);
    const { status, stdout, stderr } = await run(CREATE);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^sidekey: entry web-1 .* \(ERR_ENTRY_EXISTS\)\n$/);
  });

  test('create --data takes YAML, and JSON as SPIRE writes it', async (t) => {
    const { run, registry } = await start(t);
    const yaml = file(
      t,
      'entries:\n- spiffe_id: spiffe://ilinux.io/one # a comment\n  selectors: [{type: unix, value: "uid:1"}]\n',
    );
    assert.equal((await run(['entry', 'create', '--data', yaml])).status, 0);
    const spire = JSON.stringify({
      entries: [
        {
          selectors: [{ type: 'unix', value: 'uid:1111' }],
          spiffe_id: 'spiffe://ilinux.io/Blog',
          parent_id: 'spiffe://ilinux.io/spire/agent/join_token/TokenBlog',
          x509_svid_ttl: 200,
          admin: false,
          entryExpiry: 0,
        },
      ],
    });
    const { status, stdout } = await run(['entry', 'create', '--data', '-'], { stdin: spire });
    assert.equal(status, 0);
    assert.match(stdout, /spiffe:\/\/ilinux\.io\/Blog +unix:uid:1111 +never +1 +api\n$/);
    assert.equal(registry.size, 2);
  });

  test('create --data makes all or none, and names each fault with its place', async (t) => {
    const { run, registry } = await start(t);
    const entries = [
      { spiffe_id: 'spiffe://ilinux.io/a', selectors: [{ type: 'unix', value: 'uid:1' }] },
      { spiffe_id: 'spiffe://ilinux.io/b', selectors: [], colour: 'red' },
    ];
    const { status, stderr } = await run(['entry', 'create', '--data', file(t, JSON.stringify({ entries }))]);
    assert.equal(status, 1);
    const [selectors, colour, ...rest] = stderr.split('\n');
    assert.match(selectors!, /^sidekey: --data: \S+:1 \/entries\/1\/selectors: .* \(ERR_BAD_INPUT\)$/);
    assert.match(colour!, /^sidekey: --data: \S+:1 \/entries\/1\/colour: .* \(ERR_BAD_INPUT\)$/);
    assert.deepEqual(rest, ['']);
    assert.equal(registry.size, 0);
  });

  test('create --data reads no file without an end', async (t) => {
    const { run } = await start(t);
    const { status, stderr } = await run(['entry', 'create', '--data', '/dev/zero']);
    assert.equal(status, 2);
    assert.match(stderr, /--data: \/dev\/zero has more than 16777216 bytes/);
  });

  test('create --data says the line of what is no YAML', async (t) => {
    const { run } = await start(t);
    const { status, stderr } = await run(['entry', 'create', '--data', file(t, 'entries:\n- spiffe_id: "x\n')]);
    assert.equal(status, 2);
    assert.match(stderr, /^sidekey: --data: \S+entries\.yaml:\d+:\d+: .* \(ERR_CONFIG\)$/m);
  });

  test('create --data says of a file that is too large how its entries go all or none', async (t) => {
    const { run, registry } = await start(t);
    const entries = [{ spiffe_id: 'x'.repeat(3_000_000), selectors: [] }];
    const text = JSON.stringify({ entries });
    const place = file(t, text);
    for (const [data, name, path] of [
      [place, place, place],
      ['-', 'stdin', 'FILE'],
    ] as const) {
      const { status, stderr } = await run(['entry', 'create', '--data', data], data === '-' ? { stdin: text } : {});
      assert.equal(status, 1);
      assert.equal(
        stderr,
        `sidekey: --data: ${name} makes a request of ${text.length} bytes, and the limit is 1048576; ` +
          `use sidekey apply -f ${path} (ERR_TOO_LARGE)\n`,
      );
    }
    assert.equal(registry.size, 0);
  });

  test('list shows all pages, filtered, as a table or as JSON', async (t) => {
    const { run, json, registry } = await start(t);
    const entries = Array.from({ length: 1_001 }, (_, n) => ({
      spiffe_id: `spiffe://ilinux.io/e${n}`,
      selectors: [{ type: 'unix', value: `uid:${n}` }],
    }));
    await run(['entry', 'create', '--data', '-'], { stdin: JSON.stringify({ entries }) });
    assert.equal(registry.size, 1_001);
    assert.equal((await json(['entry', 'list'])).entries.length, 1_001);
    assert.deepEqual(await json(['entry', 'count']), { count: 1_001 });
    assert.equal((await run(['entry', 'count'])).stdout, '1001\n');
    const { stdout } = await run(['entry', 'list', '--selector', 'unix:uid:7']);
    const [header, row, ...rest] = stdout.split('\n');
    assert.match(header!, /^ID +SPIFFE ID +SELECTORS +HINT +EXPIRES +REVISION +SOURCE +CONTAINED$/);
    assert.match(row!, /^[0-9a-f-]{36} +spiffe:\/\/ilinux\.io\/e7 +unix:uid:7 +never +1 +api$/);
    assert.deepEqual(rest, ['']);
    const byId = await json(['entry', 'list', '--spiffe-id', 'spiffe://ilinux.io/e9']);
    assert.equal(byId.entries.length, 1);
  });

  test('create and update say whether callers in containers may have it, list and show show it', async (t) => {
    const { run, json } = await start(t);
    assert.equal((await json([...CREATE, '--entry-id', 'web-1', '--allow-contained'])).allow_contained, true);
    assert.match((await run(['entry', 'list'])).stdout, / api +allowed\n$/);
    const update = ['entry', 'update', 'web-1'];
    assert.equal((await json([...update, '--hint', 'h'])).allow_contained, true, 'what is not given is left');
    assert.equal((await json([...update, '--no-allow-contained'])).allow_contained, false);
    assert.match((await run(['entry', 'show', 'web-1'])).stdout, /^allow_contained +false$/m);
    assert.equal((await json([...update, '--allow-contained'])).allow_contained, true);
  });

  test('show, update and delete work on one entry', async (t) => {
    const { run, json, registry } = await start(t);
    await run([...CREATE, '--entry-id', 'web-1', '--dns', 'web.example', '--expires-at', '2030-01-01T00:00:00Z']);
    const { stdout } = await run(['entry', 'show', 'web-1']);
    assert.match(stdout, /^id +web-1\nspiffe_id +spiffe:\/\/ilinux\.io\/web\n/);

    const changed = await json(['entry', 'update', 'web-1', '--hint', 'new', '--no-dns', '--expires-at', 'never']);
    assert.deepEqual(
      [changed.hint, changed.dns_names, changed.expires_at, changed.revision_number],
      ['new', [], null, 2],
    );
    const again = await json(['entry', 'update', 'web-1', '--dns', 'a.example', '--if-match', '2']);
    assert.deepEqual([again.hint, again.dns_names, again.revision_number], ['new', ['a.example'], 3]);

    for (const args of [
      ['entry', 'update', 'web-1', '--hint', 'late', '--if-match', '2'],
      ['entry', 'delete', 'web-1', '--if-match', '2'],
    ]) {
      const { status, stderr } = await run(args);
      assert.equal(status, 1);
      assert.match(stderr, /is at revision 3, not 2/);
    }
    assert.equal((await run(['entry', 'delete', 'web-1'])).stdout, 'deleted web-1\n');
    assert.equal(registry.size, 0);
    const gone = await run(['entry', 'show', 'web-1']);
    assert.deepEqual([gone.status, gone.stdout], [1, '']);
    assert.match(gone.stderr, /no entry with the id web-1/);
  });

  test('every format says the same, for one entry and for several', async (t) => {
    const { run } = await start(t);
    assert.equal((await run([...CREATE, '--entry-id', 'web-1', '--hint', 'odd \u202e: text'])).status, 0);
    const out = async (...args: string[]) => {
      const { status, stdout, stderr } = await run(args);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    assert.equal(await out('entry', 'list', '-o', 'name'), 'web-1\n');
    assert.equal(await out('-o', 'name', 'entry', 'show', 'web-1'), 'web-1\n');
    const json = JSON.parse(await out('entry', 'list', '-o', 'json'));
    const yaml = await out('entry', '-o', 'yaml', 'list');
    assert.deepEqual(parse(yaml), json);
    assert.ok(!yaml.includes('\u202e'));
    assert.match(await out('entry', 'list', '-o', 'wide'), /^ID .*X509 TTL .*CREATED/);
    assert.doesNotMatch(await out('entry', 'list'), /X509 TTL/);
  });

  test('an entry is found by a unique beginning of its id and by its SPIFFE ID', async (t) => {
    const { run, json, registry } = await start(t);
    const make = (id: string, name: string) =>
      run([
        'entry',
        'create',
        '--entry-id',
        id,
        '--spiffe-id',
        `spiffe://ilinux.io/${name}`,
        '--selector',
        `unix:user:${id}`,
      ]);
    for (const [id, name] of [
      ['web-1', 'web'],
      ['web-2', 'web'],
      ['web-1234', 'other'],
      ['database', 'db'],
    ] as const) {
      assert.equal((await make(id, name)).status, 0);
    }
    assert.equal((await json(['entry', 'show', 'data'])).id, 'database');
    assert.equal((await json(['entry', 'show', 'spiffe://ilinux.io/db'])).id, 'database');
    assert.equal((await json(['entry', 'show', 'web-1'])).id, 'web-1', 'a whole id is that one');
    assert.equal((await json(['entry', 'update', 'web-12', '--hint', 'x'])).id, 'web-1234');
    const rows: readonly (readonly [text: string, status: number, says: RegExp])[] = [
      ['web-', 2, /3 entries begin with web-: give one of the ids, such as web-1, web-1/],
      ['spiffe://ilinux.io/web', 2, /2 entries give spiffe:\/\/ilinux\.io\/web: /],
      ['spiffe://ilinux.io/none', 1, /no entry gives spiffe:\/\/ilinux\.io\/none/],
      ['dat', 1, /there is no entry with the id dat; /],
      ['', 1, /./],
    ];
    for (const [text, status, says] of rows) {
      const refused = await run(['entry', 'delete', text]);
      assert.equal(refused.status, status, refused.stderr);
      assert.match(refused.stderr, says);
    }
    assert.equal(registry.size, 4);
  });

  test('delete takes several, and a mistyped one deletes nothing', async (t) => {
    const { run, registry } = await start(t);
    for (const id of ['one-1', 'two-2', 'three-3', 'four-4']) {
      const selector = ['--selector', `unix:user:${id}`];
      await run(['entry', 'create', '--entry-id', id, '--spiffe-id', `spiffe://ilinux.io/${id}`, ...selector]);
    }
    assert.equal((await run(['entry', 'delete', 'one-1', 'none-9', 'two-2'])).status, 1);
    assert.equal(registry.size, 4);
    const deleted = await run(['entry', 'delete', 'one-1', 'spiffe://ilinux.io/two-2', 'one-1']);
    assert.equal(deleted.stdout, 'deleted one-1\ndeleted two-2\n');
    assert.equal(
      (await run(['entry', 'delete', 'three-3', 'four-4', '-o', 'json'])).stdout,
      '{\n  "deleted": [\n    "three-3",\n    "four-4"\n  ]\n}\n',
    );
    assert.equal(registry.size, 0);
    assert.equal((await run(['entry', 'delete', 'a', 'b', '--if-match', '1'])).status, 2);
  });

  for (const [member, flag] of [
    ['dns_names', 'dns'],
    ['federates_with', 'federates-with'],
  ] as const) {
    test(`update takes the last word of --${flag} and --no-${flag}`, async (t) => {
      const { run, json } = await start(t);
      await run([...CREATE, '--entry-id', 'web-1', `--${flag}`, 'old.example']);
      const anew = [`--no-${flag}`, `--${flag}`, 'b.example', `--${flag}`, 'c.example'];
      assert.deepEqual((await json(['entry', 'update', 'web-1', ...anew]))[member], ['b.example', 'c.example']);
      const none = [`--${flag}`, 'd.example', `--no-${flag}`];
      assert.deepEqual((await json(['entry', 'update', 'web-1', ...none]))[member], []);
    });
  }

  test('an id with odd characters stays one id', async (t) => {
    const { run } = await start(t);
    const { status, stderr } = await run(['entry', 'delete', '../entries?x=1']);
    assert.equal(status, 1);
    assert.match(stderr, /no entry with the id \.\.\/entries\?x=1/);
  });
});

describe('a command that asks the server', () => {
  test('asks over TCP with --admin-url and --token-file', async (t) => {
    const { tcp } = await start(t);
    const token = file(t, `${TOKEN}\n`);
    const url = `http://127.0.0.1:${tcp.port}`;
    const listed = await sidekey(['entry', 'list', '--admin-url', url, '--token-file', token, '--output', 'json']);
    assert.deepEqual(JSON.parse(listed.stdout), { entries: [] });
    const stranger = await sidekey(['entry', 'list', '--admin-url', url]);
    assert.equal(stranger.status, 1);
    assert.match(stranger.stderr, /Authorization: Bearer/);
  });

  test('asks under the path that --admin-url has', async (t) => {
    const paths: string[] = [];
    const proxy = createServer(({ url }, response) => {
      paths.push(url!);
      response.end('{"status":"ready"}');
    }).listen(0, '127.0.0.1');
    t.after(() => proxy.close());
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    for (const base of ['', '/', '/side/key', '/side/key/', '//elsewhere.example/']) {
      const { status } = await sidekey(['healthcheck', '--admin-url', `http://127.0.0.1:${port}${base}`]);
      assert.equal(status, 0, base);
    }
    const under = ['', '', '/side/key', '/side/key', '//elsewhere.example'];
    assert.deepEqual(
      paths,
      under.map((base) => `${base}/readyz`),
    );
  });

  test('says where it found no server, with status 1', async (t) => {
    const socket = path.join(tempDir(t), 'admin.sock');
    for (const command of [['entry', 'list'], ['bundle', 'show'], ['healthcheck']]) {
      const { status, stderr } = await sidekey([...command, '--admin-socket', socket]);
      assert.equal(status, 1);
      assert.ok(stderr.startsWith(`sidekey: ${socket}: this socket does not exist`), stderr);
      assert.match(stderr, / \(ERR_UNREACHABLE\)\n$/);
    }
  });

  test('shows the bundle as PEM or as JSON', async (t) => {
    const { run } = await start(t);
    const pem = await run(['bundle', 'show']);
    assert.match(pem.stdout, /^-----BEGIN CERTIFICATE-----\n.*-----END CERTIFICATE-----\n$/s);
    for (const flags of [
      ['--format', 'spiffe'],
      ['--output', 'json'],
    ]) {
      assert.equal(JSON.parse((await run(['bundle', 'show', ...flags])).stdout).spiffe_sequence, 7);
    }
  });
});

describe('sidekey healthcheck', () => {
  test('has status 0 when the server is ready, and 1 with the reason until then', async (t) => {
    const ready = await start(t);
    assert.equal((await ready.run(['healthcheck'])).status, 0);
    const { socketPath } = await startAdmin(t, { ready: () => NOT_READY });
    const { status, stderr } = await sidekey(['healthcheck', '--admin-socket', socketPath]);
    assert.equal(status, 1);
    assert.equal(stderr, 'sidekey: socket: it does not accept yet (since 2026-11-30T10:00:01.000Z) (ERR_NOT_READY)\n');
  });
});
