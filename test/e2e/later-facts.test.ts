/**
 * Facts that come later, or are missing for a moment, with a real server: its passwd and group files are the test's own,
 * in a mount namespace that the test makes, and the caller is a real process whose facts they change.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ROUND_MIN_MS } from '../../src/identity/looks.ts';
import { endAfter } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { engines, NO_ENGINE } from '../support/container-engine.ts';
import { until } from '../support/process-state.ts';
import { chainOf, namesOf, SdsClient, type SdsStream, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { answering, containerJson, runningAs, StandInEngine } from '../support/stand-in-engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const ME = process.getuid!();
const MY_GROUP = process.getgid!();
const ID = 'ab'.repeat(32);
const ASKING_PROGRAM = fileURLToPath(new URL('../support/asking-program.ts', import.meta.url));

/** Why no mount namespace can be made here. */
const noMounts =
  spawnSync('unshare', ['--mount', 'true'], { stdio: 'ignore' }).status === 0
    ? false
    : 'a mount namespace needs root (CAP_SYS_ADMIN) and unshare(1)';

interface Accounts {
  readonly passwd: string;
  readonly group: string;
  /** Runs the server, with this command before it. */
  readonly launcher: readonly string[];
}

/** Files of the test that a server sees as its own: each mounted over the machine's, or in a folder that is /etc to it. */
function accountFiles(t: TestContext, how: 'files' | 'folder'): Accounts {
  const folder = path.join(tempDir(t), 'etc');
  mkdirSync(folder);
  const [passwd, group] = [path.join(folder, 'passwd'), path.join(folder, 'group')];
  writeFileSync(passwd, 'other:x:4000000:4000000::/:/bin/sh\n');
  writeFileSync(group, 'other:x:4000000:\n');
  if (existsSync('/etc/ld.so.cache')) copyFileSync('/etc/ld.so.cache', path.join(folder, 'ld.so.cache'));
  const mounts =
    how === 'folder'
      ? `mount --bind ${folder} /etc`
      : `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group`;
  return { passwd, group, launcher: ['unshare', '--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh'] };
}

const meAs = (name: string) => `${name}:x:${ME}:${MY_GROUP}::/:/bin/sh\n`;

async function create(server: Served, selectors: readonly string[], more: object = {}): Promise<string> {
  const { body, status } = await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors, ...more });
  assert.equal(status, 201);
  return body.id as string;
}

function client(t: TestContext, server: Served): SdsClient {
  const opened = new SdsClient(server.socket);
  t.after(() => opened.close());
  return opened;
}

/** What the ledger has of the name, on the only stream. */
async function secret(server: Served): Promise<{ state: string; held: { reason: string; detail: string } | null }> {
  const { body } = await server.request('GET', '/v1/proxies');
  return body.proxies[0].streams[0].secrets[0];
}

describe('facts that come later', { concurrency: 3, timeout: 120_000 }, () => {
  for (const how of ['files', 'folder'] as const) {
    const told =
      how === 'files' ? 'in place, through a mount of the file alone' : 'by another file that takes its name';
    it(`pushes when the passwd file is changed ${told}`, { skip: noMounts }, async (t) => {
      const { passwd, group, launcher } = accountFiles(t, how);
      const server = await serve(t, { launcher });
      await create(server, ['unix:user:late-user', `unix:uid:${ME}`]);
      const change = (file: string, text: string) => {
        if (how === 'files') writeFileSync(file, text);
        else {
          writeFileSync(`${file}.new`, text);
          renameSync(`${file}.new`, file);
        }
      };
      const [sotw, delta] = [client(t, server).stream(), client(t, server).delta()];
      sotw.ask(WEB);
      delta.ask(WEB);
      await until(() => server.log.filter(({ msg }) => msg === 'name held').length === 2);
      const begun = performance.now();
      change(passwd, meAs('late-user'));
      assert.deepEqual(namesOf(await sotw.next()), [WEB]);
      assert.deepEqual(namesOf(await delta.next()), [WEB]);
      const took = performance.now() - begun;
      assert.ok(took < ROUND_MIN_MS, `${took} ms: what is observed need not wait for the slow round`);

      // And the group file, for an entry of its own.
      const by = { spiffe_id: `${WEB}/by-group`, selectors: ['unix:group:late-group', `unix:gid:${MY_GROUP}`] };
      await server.request('POST', '/v1/entries', by);
      const third = client(t, server).stream();
      third.ask(by.spiffe_id);
      await until(() => server.log.filter(({ msg }) => msg === 'name held').length === 3);
      change(group, `late-group:x:${MY_GROUP}:\n`);
      assert.deepEqual(namesOf(await third.next()), [by.spiffe_id]);
    });
  }

  it('renews though the fact was missing at the renewal, and says so meanwhile', { skip: noMounts }, async (t) => {
    const { passwd, launcher } = accountFiles(t, 'files');
    writeFileSync(passwd, meAs('web-user'));
    const server = await serve(t, { launcher });
    await create(server, ['unix:user:web-user', `unix:uid:${ME}`], { x509_svid_ttl: 30 });
    const [sotw, delta] = [client(t, server).stream(), client(t, server).delta()];
    sotw.ask(WEB);
    delta.ask(WEB);
    const [first, firstDelta] = [await sotw.next(), await delta.next()];
    sotw.ack(first);
    delta.ack(firstDelta);
    writeFileSync(passwd, '');
    const missing = await server.logged('facts of a caller are missing');
    assert.equal(missing.level, 'warn');
    assert.match(JSON.stringify(missing.lapsed), /the caller lacks unix:user:web-user; it is attested again until/);
    const { state, held } = await secret(server);
    assert.deepEqual([state, held!.reason], ['held', 'facts-missing']);
    const url = `/v1/explain?pid=${process.pid}&spiffe_id=${encodeURIComponent(WEB)}`;
    const explained = await server.request('GET', url);
    assert.match(explained.body.note, /since .* the caller lacks unix:user:web-user/);
    writeFileSync(passwd, meAs('web-user'));
    const [second, secondDelta] = [await sotw.next(), await delta.next()];
    assert.notEqual(serialOf(second), serialOf(first));
    assert.deepEqual(secondDelta.removedResources, []);
    assert.equal(server.log.filter(({ msg }) => msg === 'name held').length, 2, 'for the missing fact alone');
    sotw.ack(second);
    delta.ack(secondDelta);
    await until(() => server.log.some(({ msg }) => msg === 'missing facts of a caller are back'));
  });

  it('takes it away when the SVID ends', { skip: noMounts }, async (t) => {
    const { passwd, launcher } = accountFiles(t, 'files');
    writeFileSync(passwd, meAs('web-user'));
    const server = await serve(t, { launcher });
    await create(server, ['unix:user:web-user', `unix:uid:${ME}`], { x509_svid_ttl: 12 });
    const delta = client(t, server).delta();
    delta.ask(WEB);
    const first = await delta.next();
    const [leaf] = chainOf(secretOf(first, WEB));
    writeFileSync(passwd, '');
    delta.ack(first);
    const last = await delta.next();
    assert.deepEqual([namesOf(last), last.removedResources], [[], [WEB]]);
    assert.ok(Date.now() >= leaf!.validToDate.getTime(), 'not before');
    assert.equal((await secret(server)).held!.reason, 'lacks-selectors');
  });

  it('pushes when a network of its container is connected', { skip: whyNoCgroup() ?? false }, async (t) => {
    const engine = new StandInEngine(t);
    await engine.start();
    const server = await serve(t, { flags: ['--docker-socket', engine.socketPath] });
    await create(server, ['docker:network:back', 'docker:network:front']);
    const child = spawn(
      '/bin/sh',
      ['-c', 'read go; exec "$@"', 'sh', process.execPath, ASKING_PROGRAM, server.socket, WEB],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    endAfter(t, child);
    makeCgroup(t, `docker-${ID}.scope`).join(child.pid!);
    const state = runningAs(child.pid!);
    const json = (...networks: string[]) =>
      containerJson(ID, {
        State: state,
        NetworkSettings: { Networks: Object.fromEntries(networks.map((name) => [name, { NetworkID: 'ab' }])) },
      });
    engine.answer = answering(json('front'));
    await engine.listenedTo();
    const said = createInterface({ input: child.stdout });
    child.stdin.write('\n');
    await server.logged('name held');
    engine.answer = answering(json('front', 'back'));
    const begun = performance.now();
    engine.tell({ Type: 'network', Action: 'connect', Actor: { ID: 'cd', Attributes: { container: ID } } });
    const [line] = await once(said, 'line');
    assert.equal(line, WEB);
    assert.ok(performance.now() - begun < ROUND_MIN_MS, 'an event need not wait for the slow round');
  });
});

it('pushes to a container as soon as an entry asks for one of its labels that none asked for before', {
  skip: whyNoCgroup() ?? false,
}, async (t) => {
  const engine = new StandInEngine(t);
  await engine.start();
  const server = await serve(t, { flags: ['--docker-socket', engine.socketPath] });
  const { body } = await server.request('POST', '/v1/entries', {
    spiffe_id: `${WEB}/other`,
    selectors: ['docker:label:app:other'],
  });
  assert.equal(body.spiffe_id, `${WEB}/other`);
  const start = ['-c', 'read go; exec "$@"', 'sh', process.execPath, ASKING_PROGRAM, server.socket, WEB];
  const child = spawn('/bin/sh', start, { stdio: ['pipe', 'pipe', 'inherit'] });
  endAfter(t, child);
  makeCgroup(t, `docker-${ID}.scope`).join(child.pid!);
  engine.answer = answering(containerJson(ID, { State: runningAs(child.pid!) }));
  await engine.listenedTo();
  child.stdin.write('\n');
  await server.logged('name held');
  const asked = engine.asked.length;
  const begun = performance.now();
  await create(server, ['docker:label:app:web', 'docker:env:MODE=test']);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  assert.equal(line, WEB);
  assert.ok(performance.now() - begun < ROUND_MIN_MS, 'it need not wait for the slow round');
  assert.equal(engine.asked.length, asked, 'the engine is not asked again');
  const { body: proxies } = await server.request('GET', '/v1/proxies');
  assert.deepEqual(
    proxies.proxies[0].selectors.filter((one: string) => one.startsWith('docker:')),
    ['docker:env:MODE=[redacted]', 'docker:label:app:web'],
  );
});

const here = engines();
if (here.length === 0) it('pushes when a network of a real container is connected', { skip: NO_ENGINE });
for (const engine of here) {
  it(`${engine.name}: pushes when a network of a real container is connected`, { timeout: 120_000 }, async (t) => {
    const server = await serve(t, { flags: ['--docker-socket', engine.socketPath, '--socket-mode', '0666'] });
    const name = `sidekey-test-later-${process.pid}`;
    await create(server, [`docker:network:${name}`, `docker:name:${name}`]);
    const image = engine.image(t, `${name}:1`);
    for (const network of [name, `${name}-first`]) {
      engine.docker('network', 'create', network);
      t.after(() => spawnSync('docker', ['-H', `unix://${engine.socketPath}`, 'network', 'rm', network]));
    }
    const folder = path.dirname(server.socket);
    engine.run(
      image,
      { name, folder, flags: ['--network', `${name}-first`] },
      process.execPath,
      ASKING_PROGRAM,
      server.socket,
      WEB,
    );
    t.after(() => spawnSync('docker', ['-H', `unix://${engine.socketPath}`, 'rm', '-f', name]));
    await server.logged('name held');
    const begun = performance.now();
    engine.docker('network', 'connect', name, name);
    await until(() => engine.docker('logs', name).includes(WEB));
    assert.ok(performance.now() - begun < ROUND_MIN_MS, 'an event need not wait for the slow round');
  });
}

for (const engine of here) {
  it(`${engine.name}: pushes when a real container is renamed, and gives nothing by the old name`, {
    timeout: 120_000,
  }, async (t) => {
    const server = await serve(t, { flags: ['--docker-socket', engine.socketPath, '--socket-mode', '0666'] });
    const name = `sidekey-test-renamed-${process.pid}`;
    await create(server, [`docker:name:${name}-new`]);
    const image = engine.image(t, `${name}:1`);
    const folder = path.dirname(server.socket);
    engine.run(image, { name, folder }, process.execPath, ASKING_PROGRAM, server.socket, WEB);
    engine.removeLater(`${name}-new`);
    await server.logged('name held');
    const begun = performance.now();
    engine.docker('rename', name, `${name}-new`);
    await until(() => engine.docker('logs', `${name}-new`).includes(WEB));
    assert.ok(performance.now() - begun < ROUND_MIN_MS, 'an event need not wait for the slow round');

    const old = { spiffe_id: `${WEB}/old`, selectors: [`docker:name:${name}`] };
    assert.equal((await server.request('POST', '/v1/entries', old)).status, 201);
    const explained = await server.request('GET', `/v1/explain?container=${name}-new&spiffe_id=${old.spiffe_id}`);
    assert.equal(explained.body.asked.reason, 'lacks-selectors');
  });
}

function serialOf(response: Awaited<ReturnType<SdsStream['next']>>): string {
  return chainOf(secretOf(response, WEB))[0]!.serialNumber;
}
