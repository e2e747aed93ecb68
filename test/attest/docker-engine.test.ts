import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDockerAttestor, type DockerAttestor } from '../../src/attest/docker/docker.ts';
import type { Attestation } from '../../src/attest/types.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { endAfter, startCaller } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { NOBODY } from '../support/child.ts';
import { type ContainerEngine, engines, NO_ENGINE } from '../support/container-engine.ts';
import { startPipe, type TestPipe } from '../support/pipe.ts';
import { until } from '../support/process-state.ts';

const here = engines();
if (here.length === 0) test('containers of a real engine are attested', { skip: NO_ENGINE });
for (const engine of here) addTests(engine);

const log = createLog('silent');
/** Names that no other run uses. */
const RUN = `sidekey-test-${process.pid}`;
const IMAGE = `${RUN}:1`;

interface Setting {
  readonly attestor: DockerAttestor;
  readonly pipe: TestPipe;
  /** Of the pipe. */
  readonly folder: string;
  attestNext(): Promise<Attestation>;
}

async function start(t: TestContext, engine: ContainerEngine): Promise<Setting> {
  const socketPath = engine.socketPath;
  const attestor = createDockerAttestor({ socketPath, clock: new SystemClock(), log, asksFor: () => true });
  t.after(() => attestor.close());
  engine.image(t, IMAGE);
  const pipe = await startPipe(t, { attestors: [attestor] });
  await until(() => attestor.remembering);
  return { attestor, pipe, folder: path.dirname(pipe.path), attestNext: async () => (await pipe.next()).peer.attest() };
}

function addTests(engine: ContainerEngine): void {
  test(`${engine.name}: a caller in a container is attested, one that came later by exec too`, async (t) => {
    const { attestor, pipe, folder, attestNext } = await start(t, engine);
    const name = `${RUN}-a`;
    const flags = ['--label', 'app=web', '--label', 'com.docker.compose.service=web', '-e', 'MODE=a=b'];
    const caller = engine.startCaller(t, IMAGE, { name, flags, folder });
    await caller.tell('connect', pipe.path);
    const { keys } = await attestNext();
    const id = engine.inspect(name, '{{.Id}}');
    const expected = [
      'docker:label:app:web',
      'docker:env:MODE=a=b',
      `docker:image_id:${engine.inspect(name, '{{.Config.Image}}')}`,
      `docker:image_config_digest:${engine.inspect(name, '{{.Image}}')}`,
      `docker:name:${name}`,
      `docker:container_id:${id}`,
      'docker:compose_service:web',
    ];
    for (const key of expected) assert.ok(keys.has(key), `${key} is missing from ${[...keys]}`);

    const later = engine.execCaller(t, name);
    await later.tell('connect', pipe.path);
    assert.deepEqual((await attestNext()).keys, keys);
    assert.ok(attestor.inspections <= 2, 'the start itself may have been told in between');
  });

  test(`${engine.name}: a label whose key has a colon does not pass for one with a shorter key`, async (t) => {
    const { pipe, folder, attestNext } = await start(t, engine);
    const labels = ['role:admin=prod', 'role=user'].flatMap((label) => ['--label', label]);
    const flags = ['--network', 'none', ...labels];
    const caller = engine.startCaller(t, IMAGE, { name: `${RUN}-h`, flags, folder });
    await caller.tell('connect', pipe.path);
    const { keys } = await attestNext();
    assert.equal(keys.has('docker:label:role:admin:prod'), false);
    assert.equal(keys.has('docker:label:role:user'), true);
  });

  test(`${engine.name}: what changes of a container is seen`, async (t) => {
    const { attestor, pipe, folder } = await start(t, engine);
    const name = `${RUN}-b`;
    const caller = engine.startCaller(t, IMAGE, { name, folder });
    await caller.tell('connect', pipe.path);
    const { peer } = await pipe.next();
    assert.ok((await peer.attest()).keys.has(`docker:name:${name}`));
    await peer.attest();
    const before = attestor.inspections;
    await peer.attest();
    assert.ok(attestor.inspections - before <= 1);
    engine.removeLater(`${name}-renamed`);
    engine.docker('rename', name, `${name}-renamed`);
    while (!(await peer.attest()).keys.has(`docker:name:${name}-renamed`)) await new Promise(setImmediate);
  });

  test(`${engine.name}: a container that was started again is attested again`, async (t) => {
    const { pipe, folder, attestNext } = await start(t, engine);
    const name = `${RUN}-c`;
    engine.run(IMAGE, { name, flags: ['--stop-timeout', '0'], folder }, '/bin/sleep', '1000');
    await engine.execCaller(t, name).tell('connect', pipe.path);
    const first = await attestNext();
    engine.docker('restart', name);
    await engine.execCaller(t, name).tell('connect', pipe.path);
    assert.equal((await attestNext()).key, first.key);
  });

  test(`${engine.name}: containers that share a network are told apart`, async (t) => {
    const { pipe, folder, attestNext } = await start(t, engine);
    const [first, second] = [`${RUN}-d`, `${RUN}-e`];
    engine.run(IMAGE, { name: first, folder }, '/bin/sleep', '1000');
    const flags = ['--network', `container:${first}`];
    await engine.startCaller(t, IMAGE, { name: second, flags, folder }).tell('connect', pipe.path);
    const { keys } = await attestNext();
    assert.ok(keys.has(`docker:name:${second}`));
    assert.ok(!keys.has(`docker:name:${first}`));
  });

  test(`${engine.name}: who is in no container is not asked about`, async (t) => {
    const { attestor, pipe, attestNext } = await start(t, engine);
    await startCaller(t).tell('connect', pipe.path);
    assert.equal((await attestNext()).selectors.length, 0);
    assert.equal(attestor.inspections, 0);
  });

  const skip = whyNoCgroup() ?? false;
  test(`${engine.name}: a cgroup with a container's name is not that container's`, { skip }, async (t) => {
    const { attestor, folder } = await start(t, engine);
    const { id, pid } = startSleeper(engine, `${RUN}-f`, folder);
    assert.notEqual((await attestor.attest({ pid, uid: 0, gid: 0, groups: [] })).length, 0);
    const impostor = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    endAfter(t, impostor);
    makeCgroup(t, id).join(impostor.pid!);
    await assert.rejects(attestor.attest({ pid: impostor.pid!, uid: 0, gid: 0, groups: [] }), {
      code: 'ERR_ATTESTATION_FAILED',
      message: /not where its main process is/,
    });
  });

  test(`${engine.name}: who mounts a container's cgroup is not in it`, { skip }, async (t) => {
    const { attestor, folder } = await start(t, engine);
    const { pid } = startSleeper(engine, `${RUN}-g`, folder);
    const script = 'mount --bind "$0" /mnt && echo mounted && exec sleep 1000';
    const as = { uid: NOBODY, gid: NOBODY, cwd: '/' };
    const forger = spawn('unshare', ['-Urm', '/bin/sh', '-c', script, cgroupFolder(pid)], as);
    endAfter(t, forger);
    const [said] = await Promise.race([once(forger.stdout, 'data'), once(forger, 'close')]);
    if (String(said) !== 'mounted\n') return t.skip('users may make no user namespaces here');
    assert.match(readFileSync(`/proc/${forger.pid}/mountinfo`, 'utf8'), / \/mnt .* - cgroup/);
    assert.deepEqual(await attestor.attest({ pid: forger.pid!, uid: NOBODY, gid: NOBODY, groups: [] }), []);
  });
}

function startSleeper(engine: ContainerEngine, name: string, folder: string): { id: string; pid: number } {
  engine.run(IMAGE, { name, folder }, '/bin/sleep', '1000');
  return { id: engine.inspect(name, '{{.Id}}'), pid: Number(engine.inspect(name, '{{.State.Pid}}')) };
}

/** Where a process's cgroup is mounted: of version 2, or of version 1's memory. */
function cgroupFolder(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const ofMemory = lines.find((line) => line.split(':')[1] === 'memory');
  if (ofMemory !== undefined) return `/sys/fs/cgroup/memory${ofMemory.split(':')[2]}`;
  return `/sys/fs/cgroup${lines.find((line) => line.startsWith('0::'))!.slice(3)}`;
}
