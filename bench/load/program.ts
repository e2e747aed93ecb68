/** Programs of a bench: each load and each server that is compared runs in a process of its own, told over IPC what to do. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Reply } from '../../test/support/obey.ts';
import type { Cleanup } from '../figure.ts';

export { obey } from '../../test/support/obey.ts';

export class Program {
  readonly pid: number;
  readonly #child: ChildProcess;
  #waiting: PromiseWithResolvers<Reply> | undefined;

  private constructor(child: ChildProcess) {
    this.pid = child.pid!;
    this.#child = child;
    child.on('message', (reply: Reply) => this.#waiting?.resolve(reply));
    child.once('exit', () => this.#waiting?.resolve({ error: 'the program ended' }));
  }

  /** Starts a file of this folder, with flags of Node's, ended by the cleanup at the latest. */
  static start(cleanup: Cleanup, file: string, execArgv: readonly string[] = []): Program {
    const env = { ...process.env, UV_THREADPOOL_SIZE: '8' };
    const child = fork(path.join(import.meta.dirname, file), { env, execArgv: [...execArgv] });
    const program = new Program(child);
    cleanup.after(() => program.end());
    return program;
  }

  /** One command at a time. */
  async tell<T>(command: string, options: unknown = {}): Promise<T> {
    this.#waiting = Promise.withResolvers();
    this.#child.send({ command, options });
    const reply = await this.#waiting.promise;
    if (reply.error !== undefined) throw new Error(`${command}: ${reply.error}`);
    return reply.value as T;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // Nobody wants what it was asked last.
    this.#waiting = undefined;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

/** Milliseconds by a clock that all processes of the machine share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
