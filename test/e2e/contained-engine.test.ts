/** Callers in containers of a real engine, against a server on the host and one in a container of its own. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { OwnEngine, whyNoEngine } from '../compose/engine.ts';
import { ContainerEngine } from '../support/container-engine.ts';
import { until } from '../support/process-state.ts';
import { makePlace, ROOT, serve, TRUST_DOMAIN } from '../support/serve.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const IMAGE = `sidekey-contained-${process.pid}:1`;
const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;

it('a container has what is for containers, whoever it says that it is, and no admin socket', {
  skip: whyNoEngine() ?? false,
  timeout: 300_000,
}, async (t) => {
  const own = new OwnEngine(t, { alone: true });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  engine.image(t, IMAGE);

  const place = makePlace(t);
  chmodSync(place.directory, 0o711);
  const flags = ['--docker-socket', own.socketPath, '--socket-mode', '0666'];
  const server = await serve(t, { place, flags });
  const create = async (name: string, selectors: readonly string[], more = {}) => {
    const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors, ...more });
    assert.equal(status, 201, JSON.stringify(body));
  };
  await create('host-user', ['unix:uid:31337', 'unix:gid:31337']);
  await create('host-root', ['unix:uid:0', 'unix:gid:0']);
  await create('by-container', ['unix:uid:0', 'docker:name:web']);
  await create('allowed', ['unix:uid:31337'], { allow_contained: true });

  const inside = (container: string, ...words: readonly string[]) =>
    spawnSync('docker', ['-H', `unix://${own.socketPath}`, 'exec', container, ...words], { encoding: 'utf8' });
  const fetch = (socket: string, name: string) => [SIDEKEY, 'fetch', '--socket', socket, '--spiffe-id', idOf(name)];
  const asUser = ['setpriv', '--reuid', '31337', '--regid', '31337', '--clear-groups'];
  const folder = place.directory;
  const start = (name: string, ...more: readonly string[]) =>
    engine.run(IMAGE, { name, folder, flags: ['--network', 'none', ...more] }, '/bin/sleep', '1000');
  start('web');
  start('other');
  // As much of the host as a container may have: its pids alone do not make it the host.
  start('host-pids', '--pid', 'host');

  for (const container of ['web', 'other', 'host-pids']) {
    for (const [name, who] of [
      ['host-root', []],
      ['host-user', asUser],
    ] as const) {
      const { status, stderr } = inside(container, ...who, ...fetch(server.socket, name));
      assert.equal(status, 1, `${container} has ${name}`);
      const { body } = await server.request('GET', `/v1/decisions/${/d-[0-9a-f]{12}/.exec(stderr)![0]}`);
      assert.equal(body.reason, 'contained');
    }
    assert.equal(inside(container, ...asUser, ...fetch(server.socket, 'allowed')).status, 0);
    const list = inside(container, SIDEKEY, 'entry', 'list', '--admin-socket', server.adminSocket);
    assert.equal(list.status, 1, list.stdout);
    assert.match(list.stderr, /in a container .*\(ERR_FORBIDDEN\)/);
  }
  const given = inside('web', ...fetch(server.socket, 'by-container'));
  assert.equal(given.status, 0, given.stderr);
  assert.equal(inside('other', ...fetch(server.socket, 'by-container')).status, 1);
  await server.stop();

  // The server in a container with the host's pids: what is in there is not contained, the containers beside it are.
  const [socket, dataDir] = [path.join(folder, 'run2/agent.sock'), path.join(folder, 'data2')];
  const admin = ['--admin-socket', path.join(dataDir, 'admin.sock')];
  engine.run(
    IMAGE,
    { name: 'sidekey', folder, flags: ['--network', 'none', '--pid', 'host'] },
    ...[SIDEKEY, 'serve', '--trust-domain', TRUST_DOMAIN, '--data-dir', dataDir, '--socket', socket],
    ...['--socket-mode', '0666', '--docker-socket', own.socketPath],
  );
  await until(() => inside('sidekey', SIDEKEY, 'healthcheck', ...admin).status === 0);
  const made = ['entry', 'create', '--spiffe-id', idOf('inner'), '--selector', 'unix:uid:0', ...admin];
  assert.equal(inside('sidekey', SIDEKEY, ...made).status, 0, 'its own container may use the admin socket');
  assert.equal(inside('sidekey', ...fetch(socket, 'inner')).status, 0);
  assert.equal(spawnSync(SIDEKEY, fetch(socket, 'inner').slice(1)).status, 0, 'so may what is in none');
  for (const container of ['web', 'host-pids']) {
    assert.equal(inside(container, ...fetch(socket, 'inner')).status, 1);
    assert.equal(inside(container, SIDEKEY, 'entry', 'list', ...admin).status, 1);
  }
});
