/**
 * A second thread that makes SVIDs beside the event loop while very many are asked for: all of them after a start, or once
 * the machine slept. It has what time the processors have left, and few are made sooner without it, so that it is started for
 * a burst and ended after it. Whatever goes wrong with it, what it was given is made without it.
 */

import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Authority } from './authority.ts';
import type { LeafRequest } from './leaf.ts';
import type { Made } from './leaf-batch.ts';

/** What the thread is told. */
export interface LeafOrder {
  readonly certificatePem: string;
  /** Comes across as OpenSSL's: no thread's heap has the key itself. */
  readonly privateKey: KeyObject;
  readonly requests: readonly LeafRequest[];
}

/** What it says of each request. An error's class does not come across. */
export type LeafAnswer =
  | Exclude<Made, { fault: unknown }>
  | { readonly fault: Pick<SidekeyError, 'code' | 'message' | 'cause'> };

export interface LeafThreadOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** For tests: another program. */
  readonly file?: string | undefined;
}

/** So many must wait for the thread to be started. */
export const MANY = 1_000;
/** It is given so many at a time. */
export const BATCH = 128;
/** It is given nothing where fewer wait: those are made before it would have answered. */
export const LEAST = 4 * BATCH;
/** It has failed when it has not answered for so long, in milliseconds. */
export const LATE_MS = 2_000;
/** It is ended when it has had nothing to do for so long, in milliseconds. */
export const IDLE_MS = 10_000;
/** After a failure it is not started again for so long, in milliseconds. */
export const REST_MS = 60_000;
const SUFFIX = path.extname(import.meta.filename);
/** In the sources the program is TypeScript, in dist/ a bundle; each beside this. */
const FILE = path.join(import.meta.dirname, `leaf-thread-program${SUFFIX}`);
/** That of a bundle is read at the start: another one may be built while this one runs. */
const PROGRAM = SUFFIX === '.cjs' ? { text: readFileSync(FILE, 'latin1'), eval: true } : { text: FILE, eval: false };

interface Waiting extends PromiseWithResolvers<readonly LeafAnswer[]> {
  /** When it is late. */
  readonly deadline: Deadline;
}

export class LeafThread {
  readonly #options: LeafThreadOptions;
  #worker: Worker | undefined;
  #state: 'off' | 'starting' | 'ready' | 'resting' | 'closed' = 'off';
  /** Orders without an answer, the oldest first. */
  #waiting: Waiting[] = [];
  #idle: Deadline | undefined;

  constructor(options: LeafThreadOptions) {
    this.#options = options;
  }

  /** Starts it where that is of use: so many SVIDs wait to be made. Until it is ready they are made without it. */
  startFor(count: number): void {
    if (this.#state !== 'off' || count < MANY || availableParallelism() < 2) return;
    this.#state = 'starting';
    this.#start().catch((error: unknown) => this.#failed(error));
  }

  /** Whether to give it a batch, where so many SVIDs wait to be made. */
  takes(count: number): boolean {
    return this.#state === 'ready' && count >= LEAST;
  }

  /** @throws Error (the promise) when the thread failed: nothing came of any of them */
  async make(authority: Authority, requests: readonly LeafRequest[]): Promise<Made[]> {
    const isLate = () => this.#failed(new Error(`no answer within ${LATE_MS} ms`));
    const waiting = {
      ...Promise.withResolvers<readonly LeafAnswer[]>(),
      deadline: this.#options.clock.after(LATE_MS, isLate),
    };
    this.#waiting.push(waiting);
    this.#idle?.cancel();
    try {
      // The process does not end while somebody waits for it.
      this.#worker!.ref();
      const { certificatePem, privateKey } = authority;
      this.#worker!.postMessage({ certificatePem, privateKey, requests } satisfies LeafOrder);
    } catch (error) {
      this.#failed(error);
    }
    const answers = await waiting.promise;
    if (answers.length !== requests.length) {
      const error = new Error(`${answers.length} answers to ${requests.length} requests`);
      this.#failed(error);
      throw error;
    }
    return answers.map((one) => {
      if (!('fault' in one)) return one;
      const { code, message, cause } = one.fault;
      return { fault: new SidekeyError(code, message, { cause }) };
    });
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    await this.#end(new Error('the authority is closed'));
  }

  async #start(): Promise<void> {
    const { Worker } = await import('node:worker_threads');
    if (this.#state === 'closed') return;
    const { file } = this.#options;
    const program = file === undefined ? PROGRAM : { text: file, eval: false };
    const worker = new Worker(program.text, { name: 'leafs', env: {}, argv: [], eval: program.eval });
    this.#worker = worker;
    worker.unref();
    // What comes of one that was ended is not asked for any more.
    const isMeant = () => this.#worker === worker;
    worker.on('message', (answers: 'ready' | readonly LeafAnswer[]) => {
      if (!isMeant()) return;
      if (answers === 'ready') this.#isReady();
      else this.#answered(answers);
    });
    worker.on('messageerror', (error) => isMeant() && this.#failed(error));
    worker.on('error', (error) => isMeant() && this.#failed(error));
    worker.on('exit', (status) => isMeant() && this.#failed(new Error(`it ended with status ${status}`)));
  }

  #isReady(): void {
    this.#state = 'ready';
    this.#options.log.debug('a second thread makes SVIDs');
    this.#endWhenIdle();
  }

  #answered(answers: readonly LeafAnswer[]): void {
    const { resolve, deadline } = this.#waiting.shift()!;
    deadline.cancel();
    resolve(answers);
    if (this.#waiting.length === 0) this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    this.#worker?.unref();
    this.#idle = this.#options.clock.after(IDLE_MS, () => {
      this.#state = 'off';
      void this.#end(new Error('the thread had nothing to do'));
    });
  }

  #failed(error: unknown): void {
    const { clock, log } = this.#options;
    void this.#end(error);
    if (this.#state === 'closed') return;
    log.warn({ err: error }, 'the second thread failed: SVIDs are made without it');
    this.#state = 'resting';
    clock.after(REST_MS, () => {
      if (this.#state === 'resting') this.#state = 'off';
    });
  }

  async #end(reason: unknown): Promise<void> {
    this.#idle?.cancel();
    const worker = this.#worker;
    this.#worker = undefined;
    for (const { reject, deadline } of this.#waiting.splice(0)) {
      deadline.cancel();
      reject(reason);
    }
    await worker?.terminate();
  }
}
