/** Engines that end, come back, stand still or notice nothing, and what their containers are meanwhile. */

import assert from 'node:assert/strict';
import { chmodSync, readdirSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { createDockerAttestor, type DockerAttestor } from '../../src/attest/docker/attestor.ts';
import { bootTicks } from '../../src/attest/libc.ts';
import { readStat } from '../../src/attest/proc/stat.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { formatSelector } from '../../src/spiffe/selector.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { OwnEngine, whyNoEngine } from '../compose/engine.ts';
import { ContainerEngine } from '../support/container-engine.ts';
import { EngineProxy } from '../support/engine-proxy.ts';
import { until } from '../support/process-state.ts';
import { makePlace } from '../support/serve.ts';

const IMAGE = 'sidekey-life:1';
const FAILED = { code: 'ERR_ATTESTATION_FAILED' };

interface Setting {
  readonly own: OwnEngine;
  readonly engine: ContainerEngine;
  readonly attestor: DockerAttestor;
  /** Starts a container, and waits until its main process is older than a tick. */
  run(name: string, flags: readonly string[], ...command: readonly string[]): Promise<number>;
}

async function start(t: TestContext, ...flags: readonly string[]): Promise<Setting> {
  const own = new OwnEngine(t, { flags, alone: true });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  engine.image(t, IMAGE);
  const folder = makePlace(t).directory;
  chmodSync(folder, 0o755);
  const attestor = openAttestor(t, own.socketPath);
  await until(() => attestor.caching);
  return {
    own,
    engine,
    attestor,
    async run(name, more, ...command) {
      engine.run(IMAGE, { name, folder, flags: ['--network', 'none', ...more] }, ...command);
      const pid = pidOf(engine, name);
      await until(() => readStat(pid).startTicks < bootTicks());
      return pid;
    },
  };
}

function openAttestor(t: TestContext, socketPath: string): DockerAttestor {
  const options = { socketPath, clock: new SystemClock(), log: createLog('silent'), asksFor: () => true };
  const attestor = createDockerAttestor(options);
  t.after(() => attestor.close());
  return attestor;
}

function pidOf(engine: ContainerEngine, name: string): number {
  return Number(engine.inspect(name, '{{.State.Pid}}'));
}

async function attest(attestor: DockerAttestor, pid: number): Promise<string[]> {
  return (await attestor.attest({ pid, uid: 0, gid: 0, groups: [] })).map(formatSelector);
}

const SLEEP = ['/bin/sleep', '1000'];

describe('containers of an engine', { skip: whyNoEngine() ?? false, timeout: 180_000 }, () => {
  it('that is restarted while they live on are attested again, and nobody is while it is away', async (t) => {
    const { own, engine, attestor, run } = await start(t, '--live-restore');
    const pid = await run('web', [], ...SLEEP);
    const first = await attest(attestor, pid);
    assert.ok(first.includes('docker:name:web'));
    await own.stop();
    await until(() => !attestor.caching);
    await assert.rejects(attest(attestor, pid), { ...FAILED, message: /there is no such socket|no process listens/ });
    await own.start();
    assert.equal(pidOf(engine, 'web'), pid);
    assert.deepEqual(await attest(attestor, pid), first);
    await until(() => attestor.caching);
    assert.deepEqual(await attest(attestor, pid), first);
  });

  it('that starts them again have another main process, and are attested by that', async (t) => {
    const { own, engine, attestor, run } = await start(t);
    const pid = await run('web', ['--restart', 'always', '--stop-timeout', '0'], ...SLEEP);
    const first = await attest(attestor, pid);
    await own.stop();
    await own.start();
    await until(() => engine.inspect('web', '{{.State.Running}}') === 'true');
    const again = pidOf(engine, 'web');
    assert.notEqual(again, pid);
    assert.deepEqual(await attest(attestor, again), first);
  });

  it('that are paused are attested, and go on to be', async (t) => {
    const { engine, attestor, run } = await start(t);
    const pid = await run('web', [], ...SLEEP);
    engine.docker('pause', 'web');
    assert.ok((await attest(attestor, pid)).includes('docker:name:web'));
    engine.docker('unpause', 'web');
    assert.ok((await attest(attestor, pid)).includes('docker:name:web'));
  });

  it('that were started before the clock was set are attested, since the engine sees their main process in its cgroup', async (t) => {
    const { own, run } = await start(t);
    const proxy = new EngineProxy(t, own.socketPath);
    await proxy.start(t);
    const attestor = openAttestor(t, proxy.socketPath);
    const [pid, other] = [await run('web', [], ...SLEEP), await run('other', [], ...SLEEP)];
    let said = pid;
    proxy.answer = (url, real) => {
      if (!/^\/containers\/.*\/json$/.test(url)) return real;
      const container = JSON.parse(real.body.toString());
      const startedAt = new Date(Date.parse(container.State.StartedAt) - 3_600_000).toISOString();
      const state = { ...container.State, StartedAt: startedAt, Pid: said };
      return { ...real, body: Buffer.from(JSON.stringify({ ...container, State: state })) };
    };
    assert.ok((await attest(attestor, pid)).includes('docker:name:web'));
    assert.ok(proxy.asked.some((url) => url.includes('/top?')));
    // As if another process, which began at another time too, had its pid.
    said = other;
    await until(() => attestor.caching);
    await assert.rejects(attest(openAttestor(t, proxy.socketPath), pid), {
      ...FAILED,
      message: /Sidekey does not see process|the engine does not list it/,
    });
  });

  it('are not those of another engine, whatever they are called', async (t) => {
    const [one, other] = [await start(t), await start(t)];
    const pids = [await one.run('web', [], ...SLEEP), await other.run('web', [], ...SLEEP)] as const;
    assert.ok((await attest(one.attestor, pids[0])).includes('docker:name:web'));
    assert.ok((await attest(other.attestor, pids[1])).includes('docker:name:web'));
    await assert.rejects(attest(one.attestor, pids[1]), { ...FAILED, message: /knows no container/ });
    await assert.rejects(attest(other.attestor, pids[0]), { ...FAILED, message: /knows no container/ });
  });

  it('that stands still are not attested by what was said of them once their main process has ended', async (t) => {
    const { own, attestor, run } = await start(t);
    const { main, child } = await withChild(run);
    assert.ok((await attest(attestor, child)).includes('docker:name:web'));
    assert.ok((await attest(attestor, main)).includes('docker:name:web'));
    const thaw = freezeShim(main);
    try {
      own.pause();
      process.kill(main, 'SIGKILL');
      await until(() => readStat(main).hasEnded);
      // No event has come: the engine tells none.
      assert.equal(attestor.caching, true);
      await assert.rejects(attest(attestor, child), { ...FAILED, message: /did not answer within/ });
      own.goOn();
      await assert.rejects(attest(attestor, child), {
        ...FAILED,
        message: /Sidekey does not see process .*: it has ended/,
      });
    } finally {
      own.goOn();
      thaw();
    }
  });

  it('that has not noticed the end of a main process are not attested, though a child of it lives on', async (t) => {
    const { engine, attestor, run } = await start(t);
    const { main, child } = await withChild(run);
    assert.ok((await attest(attestor, child)).includes('docker:name:web'));
    const thaw = freezeShim(main);
    try {
      process.kill(main, 'SIGKILL');
      await until(() => readStat(main).hasEnded);
      assert.equal(engine.inspect('web', '{{.State.Running}}'), 'true');
      await assert.rejects(attest(attestor, child), {
        ...FAILED,
        message: /Sidekey does not see process .*: it has ended/,
      });
      assert.equal(readStat(child).hasEnded, false);
    } finally {
      thaw();
    }
    await until(() => engine.inspect('web', '{{.State.Running}}') === 'false');
  });
});

/** A container in the pid namespace of the host: where it has one of its own, its processes end with the main one. */
async function withChild(run: Setting['run']): Promise<{ main: number; child: number }> {
  const main = await run('web', ['--pid', 'host'], '/bin/sh', '-c', 'sleep 1000 & exec sleep 1001');
  let child: number | undefined;
  await until(() => {
    child = childrenOf(main)[0];
    return child !== undefined;
  });
  return { main, child: child! };
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((one) => {
      try {
        return readStat(one).parent === pid;
      } catch {
        return false;
      }
    });
}

/** Stops the process of the engine that would reap it. @returns lets that go on */
function freezeShim(main: number): () => void {
  const shim = readStat(main).parent;
  process.kill(shim, 'SIGSTOP');
  return () => process.kill(shim, 'SIGCONT');
}
