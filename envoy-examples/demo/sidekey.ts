/** The demo's Sidekey: started with `bin/sidekey serve`, and used over its admin socket. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, wait } from './expect.ts';
import { type Answer, call } from './http.ts';
import type { Processes, Running } from './processes.ts';

export const TRUST_DOMAIN = 'ilinux.io';

const program = path.join(import.meta.dirname, '../../bin/sidekey');

export interface SidekeyPaths {
  readonly dataDir: string;
  /** The pipe. */
  readonly socket: string;
  readonly adminSocket: string;
  /** Its log file. */
  readonly log: string;
}

export interface SidekeyOptions extends SidekeyPaths {
  /** How long a new root is in the bundle before it signs; by default it signs as soon as all connected proxies have it. */
  readonly rootPublishTime?: string | undefined;
}

/** One line of its log. */
export interface LogLine {
  readonly msg: string;
  readonly pid?: number;
  readonly name?: string;
  readonly detail?: string;
}

export class Sidekey {
  readonly #processes: Processes;
  readonly #paths: SidekeyPaths;
  readonly #rootPublishTime: string;
  #running: Running | undefined;

  constructor(processes: Processes, { rootPublishTime = '0s', ...paths }: SidekeyOptions) {
    this.#processes = processes;
    this.#paths = paths;
    this.#rootPublishTime = rootPublishTime;
  }

  /** Starts it and waits until it is ready. */
  async start(): Promise<void> {
    const { dataDir, socket } = this.#paths;
    const places = ['--data-dir', dataDir, '--socket', socket];
    // For kernels before 6.5 (Debian 12). The risk does not matter here, because the demo's processes are not hostile.
    const kernel = ['--allow-unpinned-peers'];
    const args = ['serve', '--trust-domain', TRUST_DOMAIN, ...places, ...kernel, '--log-level', 'info'];
    args.push('--ca-subject', 'C=CN,O=SPIFFE');
    args.push('--root-publish-time', this.#rootPublishTime);
    this.#running = await this.#processes.start('sidekey', program, args, withoutSettings(process.env));
    await wait('Sidekey to be ready', {
      look: async () => (await this.ask('GET', '/readyz')).status,
      until: (status) => status === 200,
    });
  }

  /** Stops it with SIGTERM. @throws Unexpected if its exit status is not 0 */
  async stop(): Promise<void> {
    const how = await this.#running!.stop();
    expect(how.code === 0, 'Sidekey to end with status 0', how);
  }

  /** A request to the admin API. */
  ask(method: string, place: string, json?: unknown): Promise<Answer> {
    return call(`http://sidekey${place}`, { method, json, socketPath: this.#paths.adminSocket });
  }

  /** What a command of `bin/sidekey` prints. @throws Error if its exit status is not 0 */
  async command(...args: readonly string[]): Promise<string> {
    const env = { ...withoutSettings(process.env), SIDEKEY_DATA_DIR: this.#paths.dataDir };
    return (await promisify(execFile)(program, args, { env })).stdout;
  }

  /** Waits for a line of its log. */
  async logged(what: string, matches: (line: LogLine) => boolean): Promise<LogLine> {
    const found = await wait(`a log line of Sidekey: ${what}`, {
      look: async () => readLog(this.#paths.log).find(matches),
      until: (line) => line !== undefined,
    });
    return found!;
  }
}

function readLog(file: string): LogLine[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line) as LogLine);
}

/** Removes settings of another Sidekey of this user from the environment. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('SIDEKEY_')));
}
