/** A Podman of a test's own: its storage, its socket, its containers. Docker's API is a service of Podman that is started here. */

import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ContainerEngine } from './container-engine.ts';
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
