/** Programs that are run when the files change. No shell is involved. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../telemetry/index.ts';
import type { Kind, Reaction } from './reaction.ts';

/** A program and its arguments. */
export type Argv = readonly [string, ...string[]];

/** The end of a command's output that is kept for the log, in bytes. */
const TAIL_BYTES = 2_048;
/** How long the rest of its output is awaited after its end, in milliseconds. */
const OUTPUT_MS = 500;
/** What a child gets to end after SIGTERM, in milliseconds. */
const END_MS = 5_000;

/** A command has failed. */
class CommandFailure extends Error {
  /** Without its output, which may have secrets. */
  readonly brief: string;

  constructor(brief: string, output: string) {
    super(output === '' ? brief : `${brief}: ${output}`);
    this.brief = brief;
  }
}

/** A command that makes a program take up the new files, and ends. */
export class ReloadCommand implements Reaction {
  readonly what: string;
  readonly #argv: Argv;
  readonly #limitMs: number;
  #child: ChildProcess | undefined;

  constructor(argv: Argv, limitMs: number) {
    this.#argv = argv;
    this.#limitMs = limitMs;
    this.what = `the command ${argv[0]}`;
  }

  async react(kinds: readonly Kind[]): Promise<void> {
    const [program, ...args] = this.#argv;
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment({ SIDEKEY_CHANGED: kinds.join(',') }),
      // A group of its own, so that the time limit also ends what the command has started.
      detached: true,
    });
    this.#child = child;
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        tail = (tail + text).slice(-TAIL_BYTES);
      });
    }
    // A program that it leaves running may keep its output open for ever.
    const read = once(child, 'close');
    read.catch(() => undefined);
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      endGroup(child, 'SIGKILL');
    }, this.#limitMs);
    try {
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      await Promise.race([read, sleep(OUTPUT_MS, undefined, { ref: false })]);
      if (isLate) throw new Error(`it did not end within ${this.#limitMs / 1_000} s and was killed`);
      if (code !== 0) throw new CommandFailure(endOf(code, signal), tail.trim());
    } finally {
      clearTimeout(limit);
      child.stdout.destroy();
      child.stderr.destroy();
      this.#child = undefined;
    }
  }

  async close(): Promise<void> {
    if (this.#child !== undefined) endGroup(this.#child, 'SIGKILL');
  }
}

/**
 * A program that runs as long as this process, as spiffe-helper's `cmd`: started when the first files are there,
 * signalled when they change, and started again at the next change if it has ended.
 */
export class SupervisedProgram implements Reaction {
  readonly what: string;
  readonly #argv: Argv;
  readonly #renewSignal: NodeJS.Signals | undefined;
  readonly #log: Log;
  #child: ChildProcess | undefined;
  #isClosed = false;

  constructor(argv: Argv, renewSignal: NodeJS.Signals | undefined, log: Log) {
    this.#argv = argv;
    this.#renewSignal = renewSignal;
    this.#log = log;
    this.what = `cmd ${argv[0]}`;
  }

  async react(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return this.#start();
    if (this.#renewSignal !== undefined) child.kill(this.#renewSignal);
    else this.#log.warn(`${this.what} is still running and was not told about the new files: there is no renew_signal`);
  }

  async #start(): Promise<void> {
    const [program, ...args] = this.#argv;
    const child = spawn(program, args, { stdio: 'inherit', env: environment({}) });
    child.once('exit', (code, signal) => {
      this.#child = undefined;
      if (this.#isClosed) return;
      const how = endOf(code, signal);
      if (code === 0) this.#log.info(`${this.what}: ${how}; it is run again when the files change`);
      else this.#log.error(`${this.what}: ${how}; it is run again when the files change`);
    });
    await once(child, 'spawn');
    this.#child = child;
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#isClosed = true;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
    await ended;
    clearTimeout(late);
  }
}

/** The environment without what bin/sidekey has set for its own Node. */
function environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE, UV_THREADPOOL_SIZE, _SIDEKEY_CALLED_AS, ...rest } = process.env;
  return { ...rest, ...more };
}

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, signal);
  } catch {
    // It has ended.
  }
}

function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `it ended with exit status ${code}` : `it was ended by ${signal}`;
}
