/**
 * Real container engines, where this machine has some: Docker and Podman by the same API. Images are stand-ins that need
 * no registry: empty, with the host's programs mounted into them.
 */

import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type Caller, controlCaller } from './caller.ts';
import { type Answer, ROOT, requestOn } from './serve.ts';

type After = Pick<TestContext, 'after'>;

/** What the containers of a test run, all of it from the host. */
const HOST_FOLDERS = ['/usr', '/bin', '/lib', '/lib64', ROOT].filter((folder) => existsSync(folder));

export interface RunOptions {
  readonly name: string;
  /** Further flags of `docker run`. */
  readonly flags?: readonly string[];
  /** A folder that the container sees by the same name. */
  readonly folder: string;
}

export class ContainerEngine {
  readonly name: string;
  readonly socketPath: string;
  /** To be removed after the test. */
  readonly #containers: string[] = [];

  constructor(name: string, socketPath: string) {
    this.name = name;
    this.socketPath = socketPath;
  }

  /** Runs the `docker` command against this engine. */
  docker(...args: readonly string[]): string {
    const options = { encoding: 'utf8', timeout: COMMAND_LIMIT_MS } as const;
    return execFileSync('docker', ['-H', `unix://${this.socketPath}`, ...args], options).trim();
  }

  /** An empty image of this name, with settings as in a Dockerfile; removed after the test as by {@link removeImageLater}. */
  image(t: After, name: string, settings: readonly string[] = []): string {
    this.removeImageLater(t, name);
    const empty = Buffer.alloc(10_240);
    const changes = settings.flatMap((setting) => ['--change', setting]);
    const args = ['-H', `unix://${this.socketPath}`, 'import', ...changes, '-', name];
    execFileSync('docker', args, { input: empty, stdio: ['pipe', 'ignore', 'pipe'] });
    return name;
  }

  /** After the test the image is removed, and before it the containers that were started by then. */
  removeImageLater(t: After, name: string): void {
    t.after(() => {
      const [first, ...later] = this.#containers.splice(0);
      // The last first, since some depend on those before them; and few at a time, since Docker 20.10 removes them all
      // at once and may then deadlock in its network code.
      const containers = later.reverse();
      for (let from = 0; from < containers.length; from += REMOVED_AT_ONCE) {
        this.#attempt('rm', '-f', ...containers.slice(from, from + REMOVED_AT_ONCE));
      }
      if (first !== undefined) this.#attempt('rm', '-f', first);
      this.#attempt('rmi', '-f', name);
    });
  }

  #attempt(...args: readonly string[]): void {
    const options = { stdio: 'ignore', timeout: COMMAND_LIMIT_MS } as const;
    spawnSync('docker', ['-H', `unix://${this.socketPath}`, ...args], options);
  }

  /** Starts a container in the background. */
  run(image: string, { name, flags = [], folder }: RunOptions, ...command: readonly string[]): void {
    this.removeLater(name);
    this.docker('run', '-d', ...runFlags(name, folder, flags), image, ...command);
  }

  /** Starts a container whose main process is a caller. */
  startCaller(t: TestContext, image: string, { name, flags = [], folder }: RunOptions): Caller {
    this.removeLater(name);
    const args = ['run', '-i', ...runFlags(name, folder, flags), image, ...CALLER];
    return controlCaller(t, spawn('docker', ['-H', `unix://${this.socketPath}`, ...args], { stdio: STDIO }));
  }

  /**
   * Makes a container by the engine's API, where labels may be longer than a command's words, and starts nothing.
   * @param config of the container, as `POST /containers/create` has it
   * @param network `none`, or `container:NAME` for that of another one
   */
  async create(
    image: string,
    { name, folder }: RunOptions,
    config: Record<string, unknown>,
    network = 'none',
  ): Promise<void> {
    this.removeLater(name);
    const Binds = [...HOST_FOLDERS.map((each) => `${each}:${each}:ro`), `${folder}:${folder}`];
    const HostConfig = { Binds, NetworkMode: network, Ulimits: ULIMITS };
    const made = await this.#post(`/containers/create?name=${name}`, { Image: image, HostConfig, ...config });
    if (made.status !== 201) throw new Error(`${name}: ${made.status} ${JSON.stringify(made.body)}`);
  }

  /** Starts a container that was made; resolves when the engine says that it has started. */
  async start(name: string): Promise<void> {
    const { status, body } = await this.#post(`/containers/${name}/start`);
    if (status !== 204) throw new Error(`${name}: ${status} ${JSON.stringify(body)}`);
  }

  #post(url: string, body?: unknown): Promise<Answer> {
    return requestOn(this.socketPath, 'POST', url, body, { host: 'engine' });
  }

  /** A caller that came into a running container later. */
  execCaller(t: TestContext, container: string): Caller {
    const args = ['-H', `unix://${this.socketPath}`, 'exec', '-i', container, ...CALLER];
    return controlCaller(t, spawn('docker', args, { stdio: STDIO }));
  }

  /** Makes an image of a container. */
  commit(container: string, image: string): void {
    this.docker('commit', container, image);
  }

  /** Takes a name from an image that a container runs. */
  untag(image: string): void {
    this.docker('rmi', '-f', image);
  }

  /** Not by {@link docker}, which would keep a registry in this very process from answering. */
  async pull(image: string): Promise<void> {
    const args = ['-H', `unix://${this.socketPath}`, 'pull', '--quiet', image];
    await promisify(execFile)('docker', args, { timeout: 20_000 });
  }

  inspect(name: string, format: string): string {
    return this.docker('inspect', '-f', format, name);
  }

  /** For a container that gets another name, too. */
  removeLater(name: string): void {
    this.#containers.push(name);
  }
}

/** The command of a container whose main process is a caller. */
export const CALLER = [process.execPath, path.join(import.meta.dirname, 'caller-program.ts')];
const STDIO: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];

/** A command that takes longer has met an engine that hangs. */
const COMMAND_LIMIT_MS = 60_000;
const REMOVED_AT_ONCE = 8;

/** Podman asks for more open files than some machines let it have. */
const ULIMITS = ['nofile', 'nproc'].map((Name) => ({ Name, Soft: 1_024, Hard: 1_024 }));

/** Without a network unless `flags` name one: another engine that starts on this machine may take the default one away. */
export function runFlags(name: string, folder: string, flags: readonly string[]): string[] {
  const mounts = HOST_FOLDERS.flatMap((each) => ['-v', `${each}:${each}:ro`]);
  const ulimits = ULIMITS.flatMap(({ Name, Soft, Hard }) => ['--ulimit', `${Name}=${Soft}:${Hard}`]);
  const network = flags.includes('--network') ? [] : ['--network', 'none'];
  return ['--name', name, ...ulimits, ...mounts, '-v', `${folder}:${folder}`, ...network, ...flags];
}

const PLACES: readonly [name: string, socket: string][] = [
  ['Docker', '/var/run/docker.sock'],
  ['Podman', '/run/podman/podman.sock'],
];

/** The engines that answer here. */
export function engines(): ContainerEngine[] {
  return PLACES.filter(
    ([, socket]) =>
      spawnSync('docker', ['-H', `unix://${socket}`, 'version'], { stdio: 'ignore', timeout: 5_000 }).status === 0,
  ).map(([name, socket]) => new ContainerEngine(name, socket));
}

/** Why tests with a real engine can't run here. */
export const NO_ENGINE = `no container engine answers at ${PLACES.map(([, socket]) => socket).join(' or ')} to the docker command`;
