/**
 * To be run as the first process of a pid namespace, as root, with /proc mounted: a container's main process ends, its pid
 * comes back as a process of another user, in a cgroup of that user's which is named after the container; then that user
 * asks for the container's identity. The server asks the engine over a proxy, whose answer is of before:
 *
 * `delayed`: one answer was given while the container ran, and arrives afterwards.
 * `stale`: the engine has not noticed, and goes on to say that the container runs.
 *
 * Prints what came of it, as JSON.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { OwnEngine } from '../compose/engine.ts';
import { makeCgroup } from './cgroup.ts';
import { ContainerEngine } from './container-engine.ts';
import { type Answered, EngineProxy } from './engine-proxy.ts';
import { until } from './process-state.ts';
import { ROOT, serve, TRUST_DOMAIN } from './serve.ts';

const NAME = `spiffe://${TRUST_DOMAIN}/web`;
const LAST_PID = '/proc/sys/kernel/ns_last_pid';
const USER = 31_337;
const IMAGE = 'sidekey-reuse:1';
/** An answer that is late by more is not waited for. */
const TRIES = 5;

const steps: (() => unknown)[] = [];
const t = { after: (step: () => unknown) => void steps.push(step) } as never;
try {
  console.log(JSON.stringify(await run(process.argv[2] as 'delayed' | 'stale')));
} finally {
  for (const step of steps.reverse()) await step();
}

async function run(mode: 'delayed' | 'stale'): Promise<unknown> {
  const own = new OwnEngine(t, { alone: true });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  engine.image(t, IMAGE);
  const proxy = new EngineProxy(t, own.socketPath);
  await proxy.start(t);
  const flags = ['--docker-socket', proxy.socketPath, '--socket-mode', '0666'];
  const server = await serve(t, { flags });
  chmodSync(server.directory, 0o711);
  const entry = { spiffe_id: NAME, selectors: ['docker:label:app:web'] };
  const { status } = await server.request('POST', '/v1/entries', entry);
  if (status !== 201) throw new Error(`the entry is refused: ${status}`);

  for (let i = 1; ; i += 1) {
    const name = `web-${i}`;
    engine.run(
      IMAGE,
      { name, folder: server.directory, flags: ['--network', 'none', '--label', 'app=web'] },
      '/bin/sleep',
      '1000',
    );
    const [id, pid] = [engine.inspect(name, '{{.Id}}'), Number(engine.inspect(name, '{{.State.Pid}}'))];
    const cgroup = makeCgroup(t, id);
    const arrived = Promise.withResolvers<Answered>();
    const taken = Promise.withResolvers<void>();
    let former: Answered | undefined;
    proxy.answer = async (url, real) => {
      if (url !== `/containers/${id}/json`) return real;
      const first = former === undefined;
      former ??= real;
      if (!first) return mode === 'stale' ? former : real;
      arrived.resolve(real);
      if (mode === 'delayed') await taken.promise;
      return former;
    };
    if (mode === 'stale') {
      const { get } = await import('node:http');
      get({ socketPath: proxy.socketPath, path: `/containers/${id}/json` }, (response) => response.resume());
      await arrived.promise;
      await takePid(pid, cgroup.join);
    }
    const begun = asUser(
      '/bin/sh',
      '-c',
      'read go; exec "$@"',
      'sh',
      path.join(ROOT, 'bin/sidekey'),
      'fetch',
      '--socket',
      server.socket,
      '--spiffe-id',
      NAME,
    );
    cgroup.join(begun.pid!);
    const said = [text(begun.stdout!), text(begun.stderr!)];
    const ended = once(begun, 'close');
    begun.stdin!.end('\n');
    if (mode === 'delayed') {
      await arrived.promise;
      await takePid(pid, cgroup.join);
      taken.resolve();
    }
    const [code] = (await ended) as [number | null];
    const [stdout, stderr] = await Promise.all(said);
    const late = /within 1000 ms/.test(stderr!);
    if (late && i < TRIES) continue;
    return { code, has: stdout!.includes(NAME), stderr };
  }
}

/** Ends the process, and starts one of the user until it has that pid. */
async function takePid(pid: number, join: (pid: number) => void): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await until(() => !existsSync(`/proc/${pid}`));
  for (;;) {
    writeFileSync(LAST_PID, String(pid - 1));
    const child = asUser('/bin/sleep', '1000');
    steps.push(() => child.kill('SIGKILL'));
    if (child.pid === pid) {
      join(pid);
      return;
    }
    // The engine starts processes and threads of its own.
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

function asUser(program: string, ...args: readonly string[]): ChildProcess {
  return spawn(program, args, { uid: USER, gid: USER, cwd: '/', stdio: 'pipe' });
}
