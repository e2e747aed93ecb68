/** The first hour with Sidekey, as the README has it: in a fresh clone, as an ordinary user and as root. */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { NOBODY, whyNotNobody } from '../support/child.ts';
import { envoyForTests } from '../support/envoy.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const found = await envoyForTests();

/** Runs words in the clone as one user. */
interface User {
  readonly uid: number;
  readonly folder: string;
  readonly clone: string;
  readonly env: NodeJS.ProcessEnv;
}

function run({ uid, clone, env }: User, timeout: number, ...[program, ...args]: readonly string[]) {
  const options = { cwd: clone, env, uid, gid: uid, timeout, encoding: 'utf8' } as const;
  return spawnSync(program!, args, options);
}

/** @throws {AssertionError} unless it ends with status 0 */
function done(user: User, ...words: readonly string[]): string {
  const { status, stdout, stderr } = run(user, 60_000, ...words);
  assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

function userOf(folder: string, clone: string, uid: number): User {
  const [runtime, home] = [path.join(folder, `runtime-${uid}`), path.join(folder, `home-${uid}`)];
  for (const place of [runtime, home]) {
    execFileSync('install', ['-d', '-m', '0700', '-o', String(uid), '-g', String(uid), place]);
  }
  const { PATH, ...others } = process.env;
  const npm = Object.fromEntries(
    Object.entries(others).filter(([name]) => /^npm_config_(?!cache)|proxy|CERT|CA_/i.test(name)),
  );
  const kernel = { SIDEKEY_ALLOW_UNPINNED_PEERS: 'true' };
  return {
    ...{ uid, folder, clone },
    env: {
      ...npm,
      ...kernel,
      PATH,
      HOME: home,
      XDG_RUNTIME_DIR: runtime,
      ENVOY: path.join(folder, 'envoy'),
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(50);
}

/** "With your own Envoys": a file of entries, checked, served, changed and reloaded; then the commands that explain. */
async function ownEntries(t: TestContext, user: User): Promise<void> {
  const { uid, clone, folder } = user;
  const entries = path.join(folder, `entries-${uid}.yaml`);
  const write = (...names: string[]) => {
    const rows = names.map((name) => `- spiffe_id: spiffe://example.org/${name}\n  selectors: [unix:uid:${uid}]\n`);
    writeFileSync(entries, `# entries.yaml\nentries:\n${rows.join('')}`);
  };
  write('web');
  const places = [
    '--data-dir',
    path.join(folder, `data-${uid}`),
    '--socket',
    path.join(folder, `run-${uid}/agent.sock`),
  ];
  for (const place of [`data-${uid}`, `run-${uid}`]) {
    execFileSync('install', ['-d', '-m', '0700', '-o', String(uid), '-g', String(uid), path.join(folder, place)]);
  }
  const serve = ['bin/sidekey', 'serve', '--trust-domain', 'example.org', '--entries', entries, ...places];
  assert.match(done(user, ...serve, '--check'), /spiffe:\/\/example\.org\/web/);

  const server = spawn(path.join(clone, serve[0]!), serve.slice(1), {
    ...{ cwd: clone, env: user.env, uid, gid: uid },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => server.kill('SIGKILL'));
  let log = '';
  server.stdout.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = once(server, 'close');
  await until(() => log.includes('"serving"'));
  const admin = ['--admin-socket', path.join(folder, `data-${uid}/admin.sock`)];
  const sidekey = (...words: string[]) => done(user, 'bin/sidekey', ...words);
  assert.match(sidekey('fetch', '--socket', places[3]!), /spiffe:\/\/example\.org\/web/);
  write('web', 'db');
  server.kill('SIGHUP');
  await until(
    () =>
      sidekey('entry', 'list', '-o', 'name', ...admin)
        .trim()
        .split('\n').length === 2,
  );
  sidekey('proxies', ...admin);
  assert.match(sidekey('explain', '--pid', String(server.pid), ...admin), /spiffe:\/\/example\.org\/db/);
  const doctor = run(user, 60_000, 'bin/sidekey', 'doctor', ...admin);
  assert.doesNotMatch(doctor.stdout, /^error/m);
  server.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
}

describe('the first hour in a fresh clone', { timeout: 280_000 }, () => {
  it('goes as the README says, for an ordinary user and for root', async (t) => {
    const reason =
      whyNotNobody() ?? (existsSync(path.join(ROOT, '.git')) ? undefined : 'this is no clone of the repository');
    if (reason !== undefined) return t.skip(reason);
    if (found.skip !== false) return t.skip(found.skip);
    const folder = tempDir(t);
    chmodSync(folder, 0o755);
    copyFileSync(found.envoy.path, path.join(folder, 'envoy'));
    chmodSync(path.join(folder, 'envoy'), 0o755);
    const clone = path.join(folder, 'sidekey');
    execFileSync('git', ['clone', '-q', `file://${ROOT}`, clone], {
      env: { ...process.env, GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' },
    });
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, clone]);
    const ordinary = userOf(folder, clone, NOBODY);
    const installed = run(ordinary, 200_000, 'npm', 'ci');
    if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(installed.stderr))
      return t.skip('npm could not fetch the packages');
    assert.equal(installed.status, 0, installed.stderr);
    assert.match(readFileSync(path.join(clone, 'README.md'), 'utf8'), /npm ci && npm run demo/);
    for (const user of [ordinary, userOf(folder, clone, 0)]) {
      const demo = run(user, 60_000, 'npm', 'run', 'demo', '--', '--check');
      assert.equal(demo.status, 0, `${demo.stdout}${demo.stderr}`);
      await ownEntries(t, user);
    }
    return undefined;
  });
});
