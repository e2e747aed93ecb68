/** A Docker engine of a test's own, which may be stopped and started again: its data, its socket, its containers. */

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Unexpected, wait } from '../../envoy-examples/demo/expect.ts';
import { ROOT } from '../support/serve.ts';

const run = promisify(execFile);
/** Of one command. Building the image is the longest. */
const LIMIT_MS = 400_000;

/** Why no engine can be had here; undefined where one can. */
export function whyNoEngine(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start a Docker engine';
  if (spawnSync('dockerd', ['--version']).error !== undefined) return 'dockerd is not installed (docker.io has it)';
  if (spawnSync('docker', ['compose', 'version']).status !== 0) return 'the docker command has no compose plugin';
  return undefined;
}

export interface EngineOptions {
  /** Runs the engine, with this command before it. */
  readonly launcher?: readonly string[];
  /** Further flags of `dockerd`, such as `--live-restore`. */
  readonly flags?: readonly string[];
  /** It has a default bridge, which it would share with another engine on this machine. */
  readonly bridge?: boolean;
  /**
   * In a network namespace of its own, where no container's network can be reached from here: without a default bridge it
   * removes that of another engine.
   */
  readonly alone?: boolean;
}

export class OwnEngine {
  readonly socketPath: string;
  readonly #folder: string;
  readonly #options: EngineOptions;
  #daemon: ChildProcess | undefined;

  constructor(t: Pick<TestContext, 'after'>, options: EngineOptions = {}) {
    this.#options = options;
    this.#folder = mkdtempSync(path.join(tmpdir(), 'sidekey-engine-'));
    // Containers whose ids are shifted pass through it.
    chmodSync(this.#folder, 0o711);
    this.socketPath = path.join(this.#folder, 'run/docker.sock');
    mkdirSync(path.dirname(this.socketPath));
    t.after(async () => {
      await this.#removeContainers();
      await this.stop();
      // dockerd leaves some mounts behind.
      for (const mount of mountsIn(this.#folder)) spawnSync('umount', ['--lazy', mount]);
      rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    });
  }

  async start(): Promise<void> {
    const { socketPath } = this;
    const place = (name: string) => path.join(this.#folder, name);
    const log = openSync(place('log'), 'a');
    const args = ['--data-root', place('data'), '--exec-root', place('exec'), '--pidfile', place('pid')];
    const { launcher = [], flags = [], bridge = false, alone = false } = this.#options;
    const before = alone ? ['unshare', '--net', ...launcher] : launcher;
    const all = [...args, '--host', `unix://${socketPath}`, ...(bridge ? [] : ['--bridge', 'none']), ...flags];
    const [program, ...words] = [...before, 'dockerd', ...all];
    const daemon = spawn(program!, words, {
      detached: true, // so that Ctrl-C is not for it: it ends after its containers
      stdio: ['ignore', log, log],
    });
    this.#daemon = daemon;
    await wait('the engine to answer', {
      look: async () => {
        if (daemon.exitCode !== null) throw new Unexpected('dockerd to run', readFileSync(place('log'), 'utf8'));
        return this.docker('version');
      },
      until: () => true,
    });
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = once(daemon, 'exit');
    daemon.kill('SIGCONT');
    daemon.kill('SIGTERM');
    await ended;
  }

  async #removeContainers(): Promise<void> {
    if (this.#daemon?.exitCode !== null) return;
    this.goOn();
    const ids = (await this.docker('ps', '--all', '--quiet')).split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.docker('rm', '--force', '--volumes', ...ids);
    await this.docker('network', 'prune', '--force');
  }

  /** It takes questions and answers none. */
  pause(): void {
    this.#daemon!.kill('SIGSTOP');
  }

  goOn(): void {
    this.#daemon!.kill('SIGCONT');
  }

  /** What `docker` prints, both ways. @throws Error with what it printed when it fails */
  async docker(...args: readonly string[]): Promise<string> {
    return this.run(args);
  }

  async run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const options = { cwd: ROOT, env: { ...process.env, ...this.env, ...env }, timeout: LIMIT_MS, maxBuffer: 1e8 };
    try {
      const { stdout, stderr } = await run('docker', args, options);
      return `${stdout}${stderr}`.trim();
    } catch (error) {
      const { message, stdout = '' } = error as Error & { stdout?: string };
      throw new Error(`${message}\n${stdout}`);
    }
  }

  /** In bytes, with its base. */
  async imageSize(name: string): Promise<number> {
    return Number(await this.docker('image', 'inspect', '--format', '{{.Size}}', name));
  }

  get env(): Record<string, string> {
    return { DOCKER_HOST: `unix://${this.socketPath}`, ENGINE_SOCKET: this.socketPath };
  }
}

/** The innermost first. */
function mountsIn(folder: string): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts
    .map((line) => line.split(' ')[4] ?? '')
    .filter((place) => place.startsWith(`${folder}/`))
    .reverse();
}
