/** What is found of sockets where users and groups matter that a test may not always be or give. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { it } from 'node:test';
import { judgeLayout, judgePipe, judgeSilence } from '../../src/doctor/sockets.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const NOBODY = 65_534;

it('who may not pass through the directory of a socket is told so', (t) => {
  const directory = tempDir(t);
  const isRoot = process.getuid!() === 0;
  chmodSync(directory, 0o000);
  const module = JSON.stringify(path.join(ROOT, 'src/doctor/sockets.ts'));
  const file = JSON.stringify(path.join(directory, 'admin.sock'));
  const script = `import { judgeSilence } from ${module}; console.log(JSON.stringify(await judgeSilence(${file}, {})));`;
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    cwd: '/',
    encoding: 'utf8',
  });
  chmodSync(directory, 0o700);
  if (ran.status === null || /EACCES.*(?:node|sockets\.ts)/.test(ran.stderr)) {
    t.skip('nobody may not read this checkout');
    return;
  }
  assert.equal(ran.status, 0, ran.stderr);
  const [found] = JSON.parse(ran.stdout);
  assert.equal(found.rule, 'forbidden');
  assert.match(found.problem, /^only the owner of its directories and root may use it, and this is uid \d+$/);
});

it('an admin socket or a data directory that containers find beside the pipe is found', async (t) => {
  const directory = tempDir(t);
  const [socket, beside] = [path.join(directory, 'agent.sock'), path.join(directory, 'admin.sock')];
  const apart = { socket, admin_socket: '/data/admin.sock', data_dir: '/data' };
  const rules = async (known: typeof apart) => (await judgeLayout(known)).map(({ rule, place }) => [rule, place]);
  assert.deepEqual(await rules(apart), []);
  assert.deepEqual(await rules({ ...apart, admin_socket: beside }), [['pipe-directory-shared', beside]]);
  const below = path.join(directory, 'data');
  assert.deepEqual(await rules({ ...apart, admin_socket: `${below}/admin.sock`, data_dir: below }), [
    ['pipe-directory-shared', `${below}/admin.sock`],
    ['pipe-directory-shared', below],
  ]);
  // A server of an earlier version that still answers there.
  const server = net.createServer().listen(beside);
  t.after(() => server.close());
  await once(server, 'listening');
  assert.deepEqual(await rules(apart), [['admin-socket-former', beside]]);
  const [found] = await judgeSilence('/data/admin.sock', {}, { former: beside });
  assert.deepEqual([found!.rule, found!.place], ['admin-socket-former', beside]);
  assert.match(found!.fix, /sidekey doctor --admin-socket /);
});

it('a user who has no server is told of that of root, and of no second one', async (t) => {
  const missing = path.join(tempDir(t), 'admin.sock');
  const [found, ...more] = await judgeSilence(missing, {}, { roots: '/run/sidekey/agent.sock' });
  assert.deepEqual(more, []);
  assert.match(found!.problem, /but \/run\/sidekey\/agent\.sock does: a server of root seems to run here/);
  assert.deepEqual([found!.fix, found!.command], ['run sidekey doctor as root (sudo)', undefined]);
});

it('nobody says who is in a group that has no name, as the one that containers have by its number', async (t) => {
  if (process.getuid!() !== 0) {
    t.skip('only root may give a file to any group');
    return;
  }
  const directory = tempDir(t);
  chmodSync(directory, 0o2755);
  const file = path.join(directory, 'agent.sock');
  const server = net.createServer().listen(file);
  t.after(() => server.close());
  await once(server, 'listening');
  chmodSync(file, 0o660);
  const nameless = 3_999_999_999;
  chownSync(file, 0, nameless);
  const { findings, skipped } = await judgePipe(file, 0, undefined);
  assert.deepEqual(
    findings.filter(({ place }) => place === file),
    [],
  );
  assert.match(skipped[0]!.what, /^who is in the group 3999999999, which may use /);
  // Who reaches it is said by its mode then.
  chmodSync(file, 0o600);
  const closed = await judgePipe(file, 0, undefined);
  assert.deepEqual([closed.findings[0]!.rule, closed.skipped], ['pipe-closed', []]);
});
