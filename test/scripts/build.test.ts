import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { loadedBy } from '../support/bundle-probe.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const COMMANDS = [
  ['entry', 'list'],
  ['proxies'],
  ['explain', '--pid', '1'],
  ['bundle', 'show'],
  ['alias', 'list'],
  ['healthcheck'],
  ['doctor'],
];

for (const command of COMMANDS) {
  test(`sidekey ${command.join(' ')} asks over a socket without loading the server, native code or TLS`, (t) => {
    const socket = path.join(tempDir(t), 'none.sock');
    const { bundles, files, modules } = loadedBy(t, ROOT, [...command, '--admin-socket', socket]);
    assert.deepEqual(bundles, [{ name: 'cli.cjs', code: 'taken' }]);
    assert.deepEqual(files, ['sidekey.cjs']);
    assert.ok(modules.includes('http'), 'it would have asked');
    assert.ok(!modules.includes('tls'));
    assert.ok(!modules.includes('http2'));
  });
}

test('the server and the client of the pipe run with the code that the build kept of them', (t) => {
  const serve = loadedBy(t, ROOT, ['serve', '--data-dir', '/dev/null/data', '--socket', '/dev/null/run/agent.sock']);
  assert.deepEqual(serve.bundles.at(-1), { name: 'serve.cjs', code: 'taken' });
  const fetch = loadedBy(t, ROOT, ['fetch', '--socket', path.join(tempDir(t), 'none.sock')]);
  assert.deepEqual(fetch.bundles.at(-1), { name: 'pipe-client.cjs', code: 'taken' });
});

test('a server that runs needs no other bundle, which a build may replace', () => {
  const bundle = readFileSync(path.join(ROOT, 'dist/serve.cjs'), 'utf8');
  assert.doesNotMatch(bundle, /require\(["']\.{1,2}\/[^"']*["']\)/);
});

/** An installation of which a test may break a part. */
function installation(t: TestContext): { root: string; bundle: string; code: string } {
  const root = tempDir(t);
  for (const folder of ['bin', 'dist']) cpSync(path.join(ROOT, folder), path.join(root, folder), { recursive: true });
  cpSync(path.join(ROOT, 'scripts/node'), path.join(root, 'scripts/node'));
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'));
  const bundle = path.join(root, 'dist/cli.cjs');
  return { root, bundle, code: `${bundle}.code` };
}

test('kept code goes with its bundle to another place', (t) => {
  const { root } = installation(t);
  const { bundles, stdout } = loadedBy(t, root, ['--version']);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.deepEqual(bundles, [{ name: 'cli.cjs', code: 'taken' }]);
});

const BREAKS: Readonly<Record<string, (place: { bundle: string; code: string }) => void>> = {
  'is missing': ({ code }) => rmSync(code),
  'is empty': ({ code }) => writeFileSync(code, ''),
  'is cut short': ({ code }) => writeFileSync(code, readFileSync(code).subarray(0, 100_000)),
  'has one bit turned': ({ code }) => {
    const bytes = readFileSync(code);
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(code, bytes);
  },
  // Of which V8 compares only the length.
  'is of a bundle of the same length': ({ bundle }) => {
    const text = readFileSync(bundle, 'latin1');
    writeFileSync(bundle, text.replace('sidekey', 'SIDEKEY'));
  },
};

for (const [what, spoil] of Object.entries(BREAKS)) {
  test(`where kept code ${what}, the bundle runs without`, (t) => {
    const place = installation(t);
    spoil(place);
    const { bundles, stdout } = loadedBy(t, place.root, ['--version']);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
    assert.deepEqual(bundles, [{ name: 'cli.cjs', code: 'none' }]);
  });
}

/** An installation that can be built anew. */
function sources(t: TestContext): string {
  const root = path.join(tempDir(t), 'a "place" of ours');
  mkdirSync(root);
  for (const folder of ['bin', 'dist', 'scripts']) {
    cpSync(path.join(ROOT, folder), path.join(root, folder), { recursive: true });
  }
  for (const name of ['node_modules', 'src', 'package.json', 'tsconfig.json'])
    symlinkSync(path.join(ROOT, name), path.join(root, name));
  return root;
}

async function build(root: string, env: NodeJS.ProcessEnv): Promise<{ status: number; stderr: string }> {
  const child = spawn(path.join(root, 'scripts/node'), [path.join(root, 'scripts/build.ts')], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stderr = text(child.stderr);
  const late = setTimeout(() => child.kill('SIGKILL'), 45_000);
  const status = await new Promise<number>((resolve) => child.once('close', resolve));
  clearTimeout(late);
  return { status, stderr: await stderr };
}

test('a build makes the code anew that does not fit, in any place, and starts no server of the settings around it', async (t) => {
  const root = sources(t);
  const code = path.join(root, 'dist/serve.cjs.code');
  writeFileSync(code, readFileSync(code).subarray(1));
  const elsewhere = path.join(root, 'elsewhere');
  const { status, stderr } = await build(root, {
    SIDEKEY_TRUST_DOMAIN: 'example.org',
    SIDEKEY_DATA_DIR: elsewhere,
    SIDEKEY_SOCKET: path.join(elsewhere, 'run/agent.sock'),
  });
  assert.deepEqual([status, stderr], [0, '']);
  assert.ok(!existsSync(elsewhere));
  const { bundles } = loadedBy(t, root, [
    'serve',
    '--data-dir',
    '/dev/null/data',
    '--socket',
    '/dev/null/run/agent.sock',
  ]);
  assert.deepEqual(bundles.at(-1), { name: 'serve.cjs', code: 'taken' });
});

test('builds at once, where nothing can be tried out, make all bundles all the same', async (t) => {
  const root = sources(t);
  rmSync(path.join(root, 'dist'), { recursive: true });
  const results = await Promise.all([1, 2].map(() => build(root, { TMPDIR: path.join(root, 'none') })));
  for (const { status, stderr } of results) {
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^build: starts take longer than they need to, .*ENOENT/);
  }
  // A command that can't be run.
  chmodSync(path.join(root, 'bin/sidekey'), 0o644);
  const { status, stderr } = await build(root, {});
  assert.deepEqual([status, /left no code behind/.test(stderr)], [0, true], stderr);
  chmodSync(path.join(root, 'bin/sidekey'), 0o755);
  assert.deepEqual(readdirSync(path.join(root, 'dist')).toSorted(), [
    'backup-run.cjs',
    'cli.cjs',
    'client.cjs',
    'client.d.cts',
    'client.d.mts',
    'client.mjs',
    'copy-worker.cjs',
    'files-run.cjs',
    'page',
    'pipe-client.cjs',
    'serve.cjs',
    'sidekey.cjs',
    'yaml-worker.cjs',
  ]);
  assert.match(loadedBy(t, root, ['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
});
