/** What the docker attestor says of containers of a real engine, the same for each engine. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDockerAttestor, type DockerAttestor } from '../../src/attest/docker/attestor.ts';
import { CACHED_MS } from '../../src/attest/docker/containers.ts';
import { placeholderOf } from '../../src/attest/placeholders.ts';
import type { AskedSelectors, Attestation } from '../../src/attest/types.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { endAfter, startCaller } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { NOBODY } from '../support/child.ts';
import type { ContainerEngine } from '../support/container-engine.ts';
import { startPipe, type TestPipe } from '../support/pipe.ts';
import { until } from '../support/process-state.ts';
import { serveImage } from '../support/registry.ts';

const log = createLog('silent');
/** Names that no other run uses. */
export const RUN = `sidekey-test-${process.pid}`;
export const IMAGE = `${RUN}:1`;

export interface Setting {
  readonly attestor: DockerAttestor;
  readonly pipe: TestPipe;
  /** Of the pipe. */
  readonly folder: string;
  attestNext(): Promise<Attestation>;
}

/** An attestor that asks the engine, a pipe, and {@link IMAGE}. */
export async function startAttestor(t: TestContext, engine: ContainerEngine, asked?: AskedSelectors): Promise<Setting> {
  const socketPath = engine.socketPath;
  const attestor = createDockerAttestor({
    ...{ socketPath, clock: new SystemClock(), log, asksFor: () => true },
    ...(asked === undefined ? {} : { asked }),
  });
  t.after(() => attestor.close());
  engine.image(t, IMAGE);
  const pipe = await startPipe(t, { attestors: [attestor], ...(asked === undefined ? {} : { asked }) });
  await until(() => attestor.caching);
  return { attestor, pipe, folder: path.dirname(pipe.path), attestNext: async () => (await pipe.next()).peer.attest() };
}

export function addEngineTests(engine: ContainerEngine): void {
  test(`${engine.name}: a caller in a container is attested, one that came later by exec too`, async (t) => {
    const { attestor, pipe, folder, attestNext } = await startAttestor(t, engine);
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
    const { pipe, folder, attestNext } = await startAttestor(t, engine);
    const flags = ['role:admin=prod', 'role=user'].flatMap((label) => ['--label', label]);
    const caller = engine.startCaller(t, IMAGE, { name: `${RUN}-colon`, flags, folder });
    await caller.tell('connect', pipe.path);
    const { keys } = await attestNext();
    assert.equal(keys.has('docker:label:role:admin:prod'), false);
    assert.equal(keys.has('docker:label:role:user'), true);
  });

  test(`${engine.name}: a label that the image has too fills no placeholder, and negative selectors are known`, async (t) => {
    const negatives = ['label:tier:canary', 'label:app:web'].map((value) => splitSelector(`!docker:${value}`)!);
    const placeholders = ['docker.label.app', 'docker.label.mine', 'docker.name'].map((name) => placeholderOf(name)!);
    const asked = {
      ...{ asksFor: () => true, askers: () => 0, askedRevision: 1 },
      ...{ negatives: () => negatives, placeholders: () => placeholders },
    };
    const { pipe, folder, attestNext } = await startAttestor(t, engine, asked);
    const labelled = engine.image(t, `${RUN}-labelled:1`, ['LABEL app=web', 'LABEL mine=other']);
    const name = `${RUN}-labelled`;
    const caller = engine.startCaller(t, labelled, { name, flags: ['--label', 'mine=web'], folder });
    await caller.tell('connect', pipe.path);
    const { keys, values } = await attestNext();
    assert.deepEqual(
      [...keys].filter((key) => key.startsWith('!')),
      ['!docker:label:tier:canary'],
    );
    assert.match(JSON.stringify(values.get('docker.label.app')), /the image itself has the label app/);
    assert.deepEqual(values.get('docker.label.mine'), { value: 'web' });
    assert.deepEqual(values.get('docker.name'), { value: name });
  });

  test(`${engine.name}: what changes of a container is seen`, async (t) => {
    const { attestor, pipe, folder, attestNext } = await startAttestor(t, engine);
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
    const begun = performance.now();
    while (!(await peer.attest()).keys.has(`docker:name:${name}-renamed`)) await new Promise(setImmediate);
    assert.ok(performance.now() - begun < CACHED_MS, 'by the event, not when what is remembered grows old');
    assert.ok(!(await peer.attest()).keys.has(`docker:name:${name}`), 'the old name is nobody any more');
    // Whoever has the old name now is another one.
    await engine.startCaller(t, IMAGE, { name, folder }).tell('connect', pipe.path);
    assert.ok((await attestNext()).keys.has(`docker:name:${name}`));
    const { keys } = await peer.attest();
    assert.deepEqual(
      [...keys].filter((key) => key.startsWith('docker:name:')),
      [`docker:name:${name}-renamed`],
    );
  });

  test(`${engine.name}: a tag that is moved changes nothing of a container that runs`, async (t) => {
    const { attestor, pipe, folder, attestNext } = await startAttestor(t, engine);
    const other = engine.image(t, `${RUN}-other:1`, ['LABEL made=otherwise']);
    const [first, second] = [`${RUN}-h`, `${RUN}-i`];
    await engine.startCaller(t, IMAGE, { name: first, folder }).tell('connect', pipe.path);
    const { peer } = await pipe.next();
    const before = imageOf(await peer.attest());
    assert.equal(before.name, engine.inspect(first, '{{.Config.Image}}'));
    const asked = attestor.inspections;
    engine.docker('tag', other, IMAGE);
    while (attestor.inspections === asked) await peer.attest();
    assert.deepEqual(imageOf(await peer.attest()), before, 'the name is that of its creation');

    // The name is no proof of the image: a container of the other one has it, too.
    await engine.startCaller(t, IMAGE, { name: second, folder }).tell('connect', pipe.path);
    const later = imageOf(await attestNext());
    assert.equal(later.name, before.name);
    assert.notEqual(later.config, before.config);
  });

  test(`${engine.name}: an image that is made of a container has its labels, and another digest`, async (t) => {
    const { pipe, folder, attestNext } = await startAttestor(t, engine);
    const [first, second] = [`${RUN}-j`, `${RUN}-k`];
    const flags = ['--label', 'role=admin'];
    await engine.startCaller(t, IMAGE, { name: first, flags, folder }).tell('connect', pipe.path);
    const { peer } = await pipe.next();
    const before = await peer.attest();
    const committed = `${RUN}-committed:1`;
    engine.removeImageLater(t, committed);
    engine.commit(first, committed);
    assert.deepEqual((await peer.attest()).keys, before.keys);
    await engine.startCaller(t, committed, { name: second, folder }).tell('connect', pipe.path);
    const after = await attestNext();
    for (const { keys } of [before, after]) assert.ok(keys.has('docker:label:role:admin'), [...keys].join(' '));
    assert.notEqual(imageOf(after).config, imageOf(before).config);
    assert.notEqual(imageOf(after).name, imageOf(before).name);
  });

  test(`${engine.name}: an image from a registry has its digest, whatever it is called here`, async (t) => {
    const { attestor, pipe, folder } = await startAttestor(t, engine);
    const served = await serveImage(t, { role: 'web' });
    engine.removeImageLater(t, served.name);
    await engine.pull(served.name);
    const called = `${RUN}-called:1`;
    engine.removeImageLater(t, called);
    engine.docker('tag', served.name, called);
    const name = `${RUN}-l`;
    await engine.startCaller(t, called, { name, folder }).tell('connect', pipe.path);
    const { peer } = await pipe.next();
    const { keys } = await peer.attest();
    const digest = `docker:image_digest:${served.digest}`;
    const expected = [digest, `docker:image_config_digest:${served.configDigest}`, 'docker:label:role:web'];
    for (const key of expected) assert.ok(keys.has(key), `${key} is missing from ${[...keys]}`);

    // While it runs: the other name comes to mean another image.
    const asked = attestor.inspections;
    engine.docker('tag', IMAGE, called);
    while (attestor.inspections === asked) await peer.attest();
    assert.ok((await peer.attest()).keys.has(digest));

    // Without the name by which the registry knew it, it has no digest that a registry knows.
    const begun = performance.now();
    engine.untag(served.name);
    while ((await peer.attest()).keys.has(digest)) await new Promise(setImmediate);
    assert.ok(performance.now() - begun < CACHED_MS, 'by the event, not when what is remembered grows old');
    assert.ok((await peer.attest()).keys.has(`docker:image_config_digest:${served.configDigest}`));
  });

  test(`${engine.name}: a container that was started again is attested again`, async (t) => {
    const { pipe, folder, attestNext } = await startAttestor(t, engine);
    const name = `${RUN}-c`;
    engine.run(IMAGE, { name, flags: ['--stop-timeout', '0'], folder }, '/bin/sleep', '1000');
    await engine.execCaller(t, name).tell('connect', pipe.path);
    const first = await attestNext();
    engine.docker('restart', name);
    await engine.execCaller(t, name).tell('connect', pipe.path);
    assert.equal((await attestNext()).key, first.key);
  });

  for (const shared of ['network', 'ipc']) {
    test(`${engine.name}: containers that share a namespace (${shared}) are told apart`, async (t) => {
      const { pipe, folder, attestNext } = await startAttestor(t, engine);
      const [first, second] = [`${RUN}-d-${shared}`, `${RUN}-e-${shared}`];
      engine.run(IMAGE, { name: first, flags: ['--ipc', 'shareable'], folder }, '/bin/sleep', '1000');
      const flags = [`--${shared}`, `container:${first}`];
      await engine.startCaller(t, IMAGE, { name: second, flags, folder }).tell('connect', pipe.path);
      const { keys } = await attestNext();
      assert.ok(keys.has(`docker:name:${second}`));
      assert.ok(!keys.has(`docker:name:${first}`));
    });
  }

  test(`${engine.name}: who is in no container is not asked about`, async (t) => {
    const { attestor, pipe, attestNext } = await startAttestor(t, engine);
    await startCaller(t).tell('connect', pipe.path);
    assert.equal((await attestNext()).selectors.length, 0);
    assert.equal(attestor.inspections, 0);
  });

  const skip = whyNoCgroup() ?? false;
  test(`${engine.name}: a cgroup with a container's name is not that container's`, { skip }, async (t) => {
    const { attestor, folder } = await startAttestor(t, engine);
    const { id, pid } = startSleeper(engine, `${RUN}-f`, folder);
    assert.notEqual((await attestor.attest({ pid, uid: 0, gid: 0, groups: [] })).length, 0);
    const impostor = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    endAfter(t, impostor);
    makeCgroup(t, id).join(impostor.pid!);
    await assert.rejects(attestor.attest({ pid: impostor.pid!, uid: 0, gid: 0, groups: [] }), {
      code: 'ERR_ATTESTATION_FAILED',
      message: /it is not the cgroup of that container/,
    });
  });

  test(`${engine.name}: who mounts a container's cgroup is not in it`, { skip }, async (t) => {
    const { attestor, folder } = await startAttestor(t, engine);
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

/** What an attestation says of the image. */
function imageOf({ keys }: Attestation): { name: string | undefined; config: string | undefined } {
  const of = (kind: string) => [...keys].find((key) => key.startsWith(`docker:${kind}:`))?.slice(kind.length + 8);
  return { name: of('image_id'), config: of('image_config_digest') };
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
