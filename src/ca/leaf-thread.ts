/**
 * A second thread that makes SVIDs while very many are queued, as after a start or a sleep of the machine. It runs at
 * low priority and pays off only for large bursts, so it starts on demand and stops when idle. If it fails, its SVIDs
 * are made on the event loop.
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

/** A message to the thread. */
export interface LeafOrder {
  readonly certificatePem: string;
  /** Transferred as an OpenSSL handle, so that the key is in no thread's heap. */
  readonly privateKey: KeyObject;
  readonly requests: readonly LeafRequest[];
}

/** The thread's answer to a request. Messages between threads lose an error's class. */
export type LeafAnswer =
  | Exclude<Made, { fault: unknown }>
  | { readonly fault: Pick<SidekeyError, 'code' | 'message' | 'cause'> };

export interface LeafThreadOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** For tests: replaces the program. */
  readonly file?: string | undefined;
}

/** The thread is started when this many SVIDs are queued. */
export const MANY = 1_000;
/** The number of SVIDs in a batch. */
export const BATCH = 128;
/** It gets no batch when fewer are queued: the event loop makes them before it would answer. */
export const LEAST = 4 * BATCH;
/** It has failed if it does not answer within this time, in milliseconds. */
export const LATE_MS = 2_000;
/** It is stopped after this time without work, in milliseconds. */
export const IDLE_MS = 10_000;
/** After a failure it is not started again for this time, in milliseconds. */
export const REST_MS = 60_000;
const SUFFIX = path.extname(import.meta.filename);
/** The program next to this file: TypeScript in the sources, a bundle in dist/. */
const FILE = path.join(import.meta.dirname, `leaf-thread-program${SUFFIX}`);
/** A bundle is read at start, because a build may replace it while this server runs. */
const PROGRAM = SUFFIX === '.cjs' ? { text: readFileSync(FILE, 'latin1'), eval: true } : { text: FILE, eval: false };

interface Waiting extends PromiseWithResolvers<readonly LeafAnswer[]> {
  /** When the thread counts as failed. */
  readonly deadline: Deadline;
}

export class LeafThread {
  readonly #options: LeafThreadOptions;
  #worker: Worker | undefined;
  #state: 'off' | 'starting' | 'ready' | 'resting' | 'closed' = 'off';
  /** Batches without an answer, the oldest first. */
  #waiting: Waiting[] = [];
  #idle: Deadline | undefined;

  constructor(options: LeafThreadOptions) {
    this.#options = options;
  }

  /**
   * Starts the thread if `count`, the number of queued SVIDs, makes it worthwhile. It gets batches once it is ready.
   */
  startFor(count: number): void {
    if (this.#state !== 'off' || count < MANY || availableParallelism() < 2) return;
    this.#state = 'starting';
    this.#start().catch((error: unknown) => this.#failed(error));
  }

  /** True if the thread should get a batch while `count` SVIDs are queued. */
  takes(count: number): boolean {
    return this.#state === 'ready' && count >= LEAST;
  }

  /** @throws Error (rejects) if the thread failed; then none of the SVIDs was made */
  async make(authority: Authority, requests: readonly LeafRequest[]): Promise<Made[]> {
    const isLate = () => this.#failed(new Error(`no answer within ${LATE_MS} ms`));
    const waiting = {
      ...Promise.withResolvers<readonly LeafAnswer[]>(),
      deadline: this.#options.clock.after(LATE_MS, isLate),
    };
    this.#waiting.push(waiting);
    this.#idle?.cancel();
    try {
      // Keeps the process alive while the answer is awaited.
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
    // Messages of a stopped worker are ignored.
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
    this.#options.log.debug('second signing thread started');
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
    log.warn({ err: error }, 'second signing thread failed: SVIDs are signed without it');
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
