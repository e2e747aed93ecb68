/**
 * A second thread that makes SVIDs while very many are asked for: all of them after a start, or once the machine slept.
 * The event loop then only puts them on record and gives them out. Few are made sooner without it, so that it is started
 * for a burst and ended after it. Whatever goes wrong with it, what it was given is made without it.
 */

import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { type Authority, authorityFile } from './authority.ts';
import type { LeafRequest } from './leaf.ts';
import type { Made } from './leaf-batch.ts';

/** What the thread is told. */
export interface LeafOrder {
  readonly trustDomain: TrustDomain;
  /** As {@link authorityFile} writes it. */
  readonly authority: string;
  readonly requests: readonly LeafRequest[];
}

/** What it says of each request. An error's class does not come across. */
export type LeafAnswer =
  | Exclude<Made, { fault: unknown }>
  | { readonly fault: Pick<SidekeyError, 'code' | 'message' | 'cause'> };

export interface LeafThreadOptions {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests: another program. */
  readonly file?: string | undefined;
}

/** So many must wait for the thread to be started. */
export const MANY = 1_000;
/** It is given so many at a time. */
export const BATCH = 256;
/** It is ended when it has had nothing to do for so long, in milliseconds. */
export const IDLE_MS = 10_000;
/** After a failure it is not started again for so long, in milliseconds. */
export const REST_MS = 60_000;
/** In the sources the program is TypeScript, in dist/ a bundle; each beside this. */
const FILE = path.join(import.meta.dirname, `leaf-thread-program${path.extname(import.meta.filename)}`);

type Waiting = PromiseWithResolvers<readonly LeafAnswer[]>;

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

  /**
   * Whether to give it a batch, where so many SVIDs wait to be made. Where there are many, this starts it; until it is ready
   * they are made without it.
   */
  takes(count: number): boolean {
    if (this.#state === 'off' && count >= MANY && availableParallelism() > 1) {
      this.#state = 'starting';
      this.#start().catch((error: unknown) => this.#failed(error));
    }
    return this.#state === 'ready' && count >= BATCH;
  }

  /** @throws Error (the promise) when the thread failed: nothing came of any of them */
  async make(authority: Authority, requests: readonly LeafRequest[]): Promise<Made[]> {
    const { trustDomain } = this.#options;
    const waiting: Waiting = Promise.withResolvers();
    this.#waiting.push(waiting);
    this.#idle?.cancel();
    try {
      // The process does not end while somebody waits for it.
      this.#worker!.ref();
      this.#worker!.postMessage({ trustDomain, authority: authorityFile(authority), requests } satisfies LeafOrder);
    } catch (error) {
      this.#failed(error);
    }
    return (await waiting.promise).map((one) => {
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
    const worker = new Worker(this.#options.file ?? FILE, { name: 'leafs', env: {}, argv: [] });
    this.#worker = worker;
    worker.unref();
    // What comes of one that was ended is not asked for any more.
    const isMeant = () => this.#worker === worker;
    worker.on('message', (answers: 'ready' | readonly LeafAnswer[]) => {
      if (!isMeant()) return;
      if (answers === 'ready') this.#isReady();
      else this.#answered(answers);
    });
    worker.on('error', (error) => isMeant() && this.#failed(error));
    worker.on('exit', (status) => isMeant() && this.#failed(new Error(`it ended with status ${status}`)));
  }

  #isReady(): void {
    this.#state = 'ready';
    this.#options.log.debug('a second thread makes SVIDs');
    this.#endWhenIdle();
  }

  #answered(answers: readonly LeafAnswer[]): void {
    this.#waiting.shift()!.resolve(answers);
    if (this.#waiting.length > 0) return;
    this.#worker?.unref();
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    this.#idle = this.#options.clock.after(IDLE_MS, () => {
      this.#state = 'off';
      void this.#end(new Error('the thread had nothing to do'));
    });
  }

  #failed(error: unknown): void {
    const { clock, log } = this.#options;
    log.warn({ err: error }, 'the second thread failed: SVIDs are made without it');
    this.#state = 'resting';
    clock.after(REST_MS, () => {
      if (this.#state === 'resting') this.#state = 'off';
    });
    void this.#end(error);
  }

  async #end(reason: unknown): Promise<void> {
    this.#idle?.cancel();
    const worker = this.#worker;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
    await worker?.terminate();
  }
}
