/** `sidekey apply`, as a user runs it, against a real admin API. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAdmin } from '../admin/support.ts';
import { endAfter } from '../support/caller.ts';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment, ROOT, type RunOptions, sidekey } from './support.ts';

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const run = (args: readonly string[], options: RunOptions = {}) =>
    sidekey(args, { ...options, env: { SIDEKEY_ADMIN_SOCKET: running.socketPath } });
  const folder = tempDir(t);
  const write = (name: string, text: string) => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  return { ...running, run, folder, write };
}

const list = (...names: readonly string[]) =>
  `entries:\n${names.map((name) => `- {spiffe_id: "spiffe://ilinux.io/${name}", selectors: ["unix:uid:1000"]}\n`).join('')}`;

describe('sidekey apply', { timeout: 600_000, concurrency: 2 }, () => {
  test('makes the entries of files, folders and stdin, and again without a change', async (t) => {
    const { run, write, folder, registry } = await start(t);
    write('f/a.yaml', list('a'));
    write('f/b.json', JSON.stringify({ entries: [{ spiffe_id: 'spiffe://ilinux.io/b', selectors: ['unix:uid:1'] }] }));
    const c = write('c.yaml', list('c'));
    const args = ['apply', '-f', path.join(folder, 'f'), '-f', c, '-f', '-'];
    const first = await run(args, { stdin: list('d') });
    assert.equal(first.stderr, '');
    assert.match(
      first.stdout,
      /^source apply: 4 created, 0 changed, 0 deleted, 0 unchanged\n\+ spiffe:\/\/ilinux\.io\/a {2}unix:uid:1000\n/,
    );
    const again = await run(args, { stdin: list('d') });
    assert.equal(again.stdout, 'source apply: 0 created, 0 changed, 0 deleted, 4 unchanged\n');
    assert.deepEqual(
      registry.list({ limit: 9 }).entries.map(({ source }) => source),
      Array(4).fill('apply'),
    );
  });

  test('shows a diff and changes nothing with --dry-run; --prune deletes, without it entries stay', async (t) => {
    const { run, write, registry } = await start(t);
    const file = write('a.yaml', list('a', 'b'));
    await run(['apply', '-f', file, '--source', 'ci']);
    write('a.yaml', list('b', 'c').replace('["unix:uid:1000"]}', '["unix:uid:1000"], hint: new}'));
    const [b] = registry.bySpiffeId('spiffe://ilinux.io/b');
    const dry = await run(['apply', '-f', file, '--source', 'ci', '--dry-run']);
    assert.equal(
      dry.stdout,
      `source ci: would be 1 created, 1 changed, 0 deleted, 0 unchanged
+ spiffe://ilinux.io/c  unix:uid:1000
~ spiffe://ilinux.io/b (${b!.id})
    hint: "" -> "new"
not in the files, but kept: 1 entry of the source ci; --prune deletes it
  spiffe://ilinux.io/a (${registry.bySpiffeId('spiffe://ilinux.io/a')[0]!.id})
no running caller would gain, lose or change an identity
`,
    );
    assert.equal(registry.size, 2);
    const { stdout } = await run(['apply', '-f', file, '--source', 'ci', '--prune', '-o', 'json']);
    const changes = JSON.parse(stdout);
    assert.deepEqual(
      [changes.created.length, changes.changed.length, changes.deleted.length, registry.size],
      [1, 1, 1, 2],
    );
  });

  test('applies what entry list prints without a change, in YAML and JSON', async (t) => {
    const { run, write, registry } = await start(t);
    await run([
      'entry',
      'create',
      '--spiffe-id',
      'spiffe://ilinux.io/web',
      '--selector',
      'docker:env:A="x: #y"',
      '--dns',
      'a.b',
    ]);
    await run(['apply', '-f', write('a.yaml', list('a'))]);
    const before = registry.list({ limit: 9 }).entries;
    for (const format of ['yaml', 'json']) {
      const { stdout } = await run(['entry', 'list', '-o', format]);
      const applied = await run(['apply', '--prune', '-f', '-'], { stdin: stdout });
      assert.equal(applied.stdout, 'source apply: 0 created, 0 changed, 0 deleted, 2 unchanged\n', applied.stderr);
    }
    assert.deepEqual(registry.list({ limit: 9 }).entries, before);
    const edited = (await run(['entry', 'list', '-o', 'yaml'])).stdout.replaceAll('hint: ""', 'hint: new');
    const refused = await run(['apply', '-f', '-'], { stdin: edited });
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      /^sidekey: stdin:\d+ \/entries\/\d: entry .* is of the source api, and differs; .*--adopt\) \(ERR_ENTRY_EXISTS\)\n$/,
    );
    const adopted = await run(['apply', '-f', '-', '--adopt'], { stdin: edited });
    assert.match(adopted.stdout, /0 created, 2 changed/);
  });

  test('refuses everything for one fault, with file, line and the nearest word', async (t) => {
    const { run, write, registry } = await start(t);
    const good = write('good.yaml', list('a', 'b'));
    const cases: readonly (readonly [text: string, says: RegExp])[] = [
      [
        list('c').replace('selectors', 'selektors'),
        /x\.yaml:2 \/entries\/0\/selektors: there is no such field; did you mean selectors\?/,
      ],
      [
        list('c').replace('unix:uid', 'unix:usr'),
        /x\.yaml:2 \/entries\/0\/selectors\/0: "usr" is not a kind of unix selector; did you mean user\?/,
      ],
      [list('c').replace('unix:uid', 'unx:uid'), /x\.yaml:2 .*did you mean unix\?/],
      [
        list('b'),
        /x\.yaml:2 \/entries\/0: it is the same as the entry in .*good\.yaml on line 3; .*\(ERR_ENTRY_EXISTS\)/,
      ],
      ['entries: [', /x\.yaml:1: .*\(ERR_CONFIG\)/],
      ['', /x\.yaml:1: it has no entries/],
    ];
    for (const [text, says] of cases) {
      const { status, stderr, stdout } = await run(['apply', '-f', good, '-f', write('x.yaml', text)]);
      assert.ok(status !== 0 && stdout === '', stdout);
      assert.match(stderr, says);
      assert.equal(registry.size, 0);
    }
    const large = write('large.json', `{"entries":[]${' '.repeat(50 * 1024 * 1024)}}`);
    const { status, stderr } = await run(['apply', '-f', large]);
    assert.equal(status, 2);
    assert.match(stderr, /it has 52428814 bytes; at most 16777216 bytes are read/);
  });

  test('is used wrongly without files, or when flags contradict', async (t) => {
    const { run, write } = await start(t);
    const file = write('a.yaml', list('a'));
    for (const [args, says] of [
      [[], /give -f FILE/],
      [['-f', '-', '--watch'], /not stdin/],
      [['-f', file, '--watch', '--dry-run'], /--dry-run does not go with it/],
      [['-f', '/no/such/file'], /\/no\/such\/file: it can't be read: ENOENT/],
      [['-f', file, '--sauce', 'x'], /Did you mean --source/],
    ] as const) {
      const { status, stderr } = await run(['apply', ...args]);
      assert.equal(status, 2, stderr);
      assert.match(stderr, says);
    }
    const reserved = await run(['apply', '-f', file, '--source', 'file']);
    assert.deepEqual([reserved.status, /not api or file/.test(reserved.stderr)], [1, true]);
  });

  test('follows a folder with --watch; a bad file or an empty folder changes nothing', async (t) => {
    const { write, folder, registry, socketPath } = await start(t);
    write('f/a.yaml', list('a'));
    const place = path.join(folder, 'f');
    const args = [
      path.join(ROOT, 'src/cli/main.ts'),
      'apply',
      '-f',
      place,
      '--watch',
      '--prune',
      '--admin-socket',
      socketPath,
    ];
    const child = spawn(process.execPath, args, { env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    endAfter(t, child);
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const until = async (what: () => boolean) => {
      const late = performance.now() + 240_000;
      while (!what()) {
        assert.ok(performance.now() < late, `${out}\n${err}`);
        await sleep(10);
      }
    };
    const has = (...names: readonly string[]) => {
      const found = registry.list({ limit: 9 }).entries.map(({ spiffeId }) => spiffeId.split('/').at(-1));
      return JSON.stringify(found.sort()) === JSON.stringify(names);
    };
    await until(() => has('a'));
    write('f/b.yaml', list('b'));
    await until(() => has('a', 'b'));
    write('f/c.yaml', 'entries: [');
    await until(() => /c\.yaml:1: .*\nsidekey: nothing was changed\n/.test(err));
    rmSync(path.join(place, 'c.yaml'));
    for (const name of ['a', 'b']) rmSync(path.join(place, `${name}.yaml`));
    await until(() => /it has no file of entries/.test(err));
    assert.ok(has('a', 'b'));
    write('f/d.yaml', list('d'));
    await until(() => has('d'));
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGINT');
    assert.equal(await ended, 0);
    assert.match(out, /^source apply: 1 created, /);
  });
});
