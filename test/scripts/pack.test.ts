/** `npm pack` and `npm install -g`: what is packed runs from any prefix, for root and for another user. */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { NOBODY, whyNotNobody } from '../support/child.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The tarball, whose name has the version. */
function pack(folder: string): string {
  // The test runs after the build, and others read dist/ meanwhile.
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT, stdio: 'ignore' });
  return path.join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz'))!);
}

/** Installs it with what npm has in its cache; the reason if that is not enough. */
function install(tarball: string, prefix: string): string | undefined {
  const args = ['install', '-g', '--prefix', prefix, '--prefer-offline', '--ignore-scripts', tarball];
  const { status, stderr } = spawnSync('npm', args, { cwd: '/', encoding: 'utf8', timeout: 120_000 });
  if (status === 0) return undefined;
  const isOffline = /ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(stderr);
  assert.ok(isOffline, stderr);
  return `npm could not fetch the packages: ${stderr.split('\n')[0]}`;
}

async function serves(t: TestContext, sidekey: string, folder: string, as: readonly string[]): Promise<void> {
  const places = ['--data-dir', `${folder}/data`, '--socket', `${folder}/run/agent.sock`];
  const flags = ['serve', '--trust-domain', 'ilinux.io', '--allow-unpinned-peers', ...places];
  const [program, ...args] = [...as, sidekey, ...flags];
  const env = { PATH: process.env.PATH };
  const server = spawn(program!, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill('SIGKILL'));
  const ended = once(server, 'close');
  let log = '';
  for await (const chunk of server.stdout.setEncoding('utf8')) {
    log += chunk;
    if (log.includes('"serving"')) break;
  }
  assert.match(log, /"serving"/);
  const run = (...words: string[]) => {
    const [command, ...rest] = [...as, sidekey, ...words];
    const { status, stdout, stderr } = spawnSync(command!, rest, { cwd: '/', env, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const admin = ['--admin-socket', `${folder}/data/admin.sock`];
  const uid = as.length > 0 ? NOBODY : process.getuid!();
  run('entry', 'create', '--spiffe-id', 'spiffe://ilinux.io/web', '--selector', `unix:uid:${uid}`, ...admin);
  assert.match(run('fetch', '--socket', `${folder}/run/agent.sock`), /spiffe:\/\/ilinux\.io\/web/);
  assert.match(run('entry', 'list', '-o', 'name', ...admin), /^[0-9a-f-]{36}\n$/);
  server.kill('SIGTERM');
  const [code] = (await ended) as [number | null];
  assert.equal(code, 0);
}

describe('the package', { timeout: 180_000 }, () => {
  it('runs from the prefix that it was installed to, also as another user', async (t) => {
    const folder = tempDir(t);
    const prefix = path.join(folder, 'prefix');
    mkdirSync(prefix);
    const reason = install(pack(folder), prefix);
    if (reason !== undefined) {
      t.skip(reason);
      return;
    }
    const sidekey = path.join(prefix, 'bin/sidekey');
    assert.ok(lstatSync(sidekey).isSymbolicLink());
    const home = path.join(prefix, 'lib/node_modules/sidekey');
    assert.ok(!existsSync(path.join(home, 'src')), 'no sources');
    assert.ok(!existsSync(path.join(home, 'node_modules/fastify')), 'what is in the bundles is not fetched');
    assert.ok(statSync(path.join(home, 'dist/serve.cjs.code')).size > 0);
    await serves(t, sidekey, path.join(folder, 'own'), []);
    if (whyNotNobody() !== undefined) {
      t.diagnostic(`not run as another user: ${whyNotNobody()}`);
      return;
    }
    const other = path.join(folder, 'other');
    mkdirSync(other);
    execFileSync('chown', [`${NOBODY}:${NOBODY}`, other]);
    for (let place = folder; place !== '/tmp' && place !== '/'; place = path.dirname(place)) chmodSync(place, 0o755);
    await serves(t, sidekey, other, ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']);
  });
});
