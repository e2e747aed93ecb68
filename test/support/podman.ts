/** A Podman of a test's own: its storage, its socket, its containers. Docker's API is a service of Podman that is started here. */

import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type Caller, controlCaller } from './caller.ts';
import { CALLER, ContainerEngine, type RunOptions, runFlags } from './container-engine.ts';
import { until } from './process-state.ts';

const run = promisify(execFile);
const PULL_LIMIT_MS = 20_000;

/** Why no Podman can be had here; undefined where one can. */
export function whyNoPodman(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start a Podman for all users';
  for (const command of ['podman', 'docker']) {
    if (spawnSync(command, ['--version']).error !== undefined) return `${command} is not installed`;
  }
  return undefined;
}

export class Podman extends ContainerEngine {
  readonly #flags: readonly string[];

  constructor(socketPath: string, flags: readonly string[]) {
    super('Podman', socketPath);
    this.#flags = flags;
  }

  /** Starts a pod, and in it a container whose main process is a caller. Docker's API has no pods. */
  startCallerInPod(t: TestContext, image: string, pod: string, { name, folder }: RunOptions): Caller {
    execFileSync('podman', [...this.#flags, 'pod', 'create', '--infra=false', '--share', 'none', '--name', pod]);
    this.removeLater(name);
    const args = [
      'run',
      '--interactive',
      ...runFlags(name, folder, ['--pod', pod, '--stop-timeout', '0']),
      image,
      ...CALLER,
    ];
    return controlCaller(t, spawn('podman', [...this.#flags, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }));
  }

  /** By Podman itself: its service reads a body that the docker command does not send. */
  override commit(container: string, image: string): void {
    execFileSync('podman', [...this.#flags, 'commit', '--quiet', container, image], { stdio: 'ignore' });
  }

  override untag(image: string): void {
    execFileSync('podman', [...this.#flags, 'untag', image], { stdio: 'ignore' });
  }

  /** By Podman itself: its service has no word for a registry without TLS. */
  override async pull(image: string): Promise<void> {
    await run('podman', [...this.#flags, 'pull', '--quiet', '--tls-verify=false', image], { timeout: PULL_LIMIT_MS });
  }
}

/** Starts one. @param after is given what ends it, so that nothing of it stays */
export async function startPodman(after: (end: () => Promise<void>) => void): Promise<Podman> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-podman-'));
  const place = (name: string) => path.join(folder, name);
  const socketPath = place('podman.sock');
  const flags = [
    ...['--root', place('root'), '--runroot', place('run'), '--tmpdir', place('tmp')],
    ...['--network-config-dir', place('networks'), '--events-backend', 'file', '--cgroup-manager', 'cgroupfs'],
    // crun, Podman's own choice, refuses machines that have cgroup v1 and v2 at once.
    ...(spawnSync('runc', ['--version']).error === undefined ? ['--runtime', 'runc'] : []),
  ];
  const log = openSync(place('log'), 'a');
  const service = spawn('podman', [...flags, 'system', 'service', '--time', '0', `unix://${socketPath}`], {
    stdio: ['ignore', log, log],
  });
  const podman = new Podman(socketPath, flags);
  after(async () => {
    spawnSync('podman', [...flags, 'rm', '--all', '--force', '--time', '0'], { stdio: 'ignore' });
    if (service.exitCode === null && service.signalCode === null) {
      const ended = once(service, 'exit');
      service.kill('SIGTERM');
      await ended;
    }
    // What watched a container calls podman once more, after an exec five minutes later, which would make the folder anew.
    await until(() => {
      const left = processesNaming(folder);
      for (const pid of left) kill(pid);
      return left.length === 0;
    });
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    for (const line of mounts.reverse()) {
      const mount = line.split(' ')[4] ?? '';
      if (mount.startsWith(`${folder}/`)) spawnSync('umount', ['--lazy', mount]);
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  await until(() => {
    if (service.exitCode !== null) throw new Error(`podman ended: ${readFileSync(place('log'), 'utf8')}`);
    return spawnSync('docker', ['-H', `unix://${socketPath}`, 'version'], { stdio: 'ignore' }).status === 0;
  });
  return podman;
}

/** The processes whose command line names the folder, which is of no other run. */
function processesNaming(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder);
      } catch {
        return false; // it has ended
      }
    })
    .map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
