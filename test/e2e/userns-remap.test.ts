/** Containers whose ids an engine shifts (`dockerd --userns-remap`): an engine and a server of the test's own. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { createOwnerOf } from '../../src/attest/owner-of.ts';
import { createSubordinateIds } from '../../src/attest/subordinate-ids.ts';
import { Owners } from '../../src/limits/owner.ts';
import { OwnEngine, whyNoEngine } from '../compose/engine.ts';
import { ContainerEngine } from '../support/container-engine.ts';
import { makePlace, ROOT, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const IMAGE = `sidekey-remapped-${process.pid}:1`;
/** Who is root in the containers, and how many ids they have. */
const [FIRST, COUNT] = [700_000, 65_536];
const [USER, OWNER] = ['remapped', 690_000];
const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;

function whyNot(): string | undefined {
  const missing = ['/etc/subuid', '/etc/subgid'].find((file) => !existsSync(file));
  if (missing !== undefined) return `${missing} is not there, so that nothing can be mounted over it`;
  return spawnSync('unshare', ['--version']).error === undefined ? whyNoEngine() : 'unshare is not installed';
}

it('a container with shifted ids has its shifted uid and its container as selectors, and pays as its container', {
  skip: whyNot() ?? false,
  timeout: 180_000,
}, async (t) => {
  // The machine's own account files stay as they are: engine and server see others.
  const files = tempDir(t);
  const contents = {
    passwd: `root:x:0:0::/root:/bin/sh\n${USER}:x:${OWNER}:${OWNER}::/:/bin/sh\n`,
    group: `root:x:0:\n${USER}:x:${OWNER}:\n`,
    subuid: `${USER}:${FIRST}:${COUNT}\n`,
    subgid: `${USER}:${FIRST}:${COUNT}\n`,
  };
  const mounts = Object.entries(contents).map(([name, text]) => {
    writeFileSync(path.join(files, name), text, { mode: 0o644 });
    return `mount --bind ${path.join(files, name)} /etc/${name}`;
  });
  const launcher = ['unshare', '--mount', 'sh', '-c', `${mounts.join(' && ')} && exec "$@"`, 'sh'];
  const own = new OwnEngine(t, { launcher, flags: ['--userns-remap', USER] });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  engine.image(t, IMAGE);

  const place = makePlace(t);
  chmodSync(place.directory, 0o711);
  const flags = ['--docker-socket', own.socketPath, '--socket-mode', '0666'];
  const server = await serve(t, { place, flags, launcher });
  const create = async (name: string, selectors: readonly string[]) => {
    const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors });
    assert.equal(status, 201, JSON.stringify(body));
  };
  await create('shifted', ['docker:name:web', `unix:uid:${FIRST}`]);
  await create('shifted-user', ['docker:name:web', `unix:uid:${FIRST + 1000}`, `unix:gid:${FIRST + 1000}`]);
  await create('root', ['docker:name:web', 'unix:uid:0']);
  await create('user', ['docker:name:web', 'unix:uid:1000']);
  await create('host', ['unix:uid:0', 'unix:gid:0']);

  const start = (name: string, ...more: readonly string[]) =>
    engine.run(IMAGE, { name, folder: place.directory, flags: more }, '/bin/sleep', '1000');
  start('web');
  start('other');
  start('unshifted', '--userns', 'host');
  const pid = engine.inspect('web', '{{.State.Pid}}');
  assert.match(readFileSync(`/proc/${pid}/uid_map`, 'utf8'), new RegExp(`^ *0 +${FIRST} +${COUNT}$`, 'm'));

  // Each container is an owner, and all of them together the user whose ids they have.
  const ownerOf = createOwnerOf(
    new Owners(),
    createSubordinateIds(() => OWNER, path.join(files, 'subuid')),
  );
  const accountsOf = (container: string, uid: number) => {
    const caller = { pid: Number(engine.inspect(container, '{{.State.Pid}}')), uid, gid: uid };
    return ownerOf(caller).accounts.map((account) => account.name);
  };
  for (const container of ['web', 'other']) {
    const [own, all] = accountsOf(container, FIRST + 7);
    assert.match(own!, new RegExp(engine.inspect(container, '{{.Id}}')));
    assert.match(all!, new RegExp(`uid ${OWNER}`));
  }

  const fetch = (container: string, name: string, who: readonly string[] = []) =>
    spawnSync(
      'docker',
      [
        ...['-H', `unix://${own.socketPath}`, 'exec', container, ...who],
        ...[SIDEKEY, 'fetch', '--socket', server.socket, '--spiffe-id', idOf(name)],
      ],
      { encoding: 'utf8' },
    );
  const asUser = ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups'];
  const given = fetch('web', 'shifted');
  assert.equal(given.status, 0, given.stderr);
  assert.equal(fetch('web', 'shifted-user', asUser).status, 0);
  for (const [container, name, who] of [
    ['web', 'root', []],
    ['web', 'user', asUser],
    ['web', 'shifted-user', []],
    ['web', 'host', []],
    ['other', 'shifted', []],
    ['unshifted', 'host', []],
  ] as const) {
    const { status, stderr } = fetch(container, name, who);
    assert.equal(status, 1, `${container} has ${name}`);
    const { body } = await server.request('GET', `/v1/decisions/${/d-[0-9a-f]{12}/.exec(stderr)![0]}`);
    assert.ok(body.contained !== null, `${container} counts as contained`);
    const uid = container === 'unshifted' ? 0 : FIRST + (who.length === 0 ? 0 : 1000);
    assert.equal(body.uid, uid);
  }
});
