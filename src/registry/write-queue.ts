/** Runs writes one at a time, so that each sees the effects of the previous one. */

import { SidekeyError } from '../base/index.ts';

export class WriteQueue {
  /** The last write in the queue; never rejects. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  #length = 0;

  /** The number of writes that run or wait. */
  get length(): number {
    return this.#length;
  }

  /** Runs the work after all earlier work. @throws its error; ERR_STORE if the queue is closed */
  add<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new SidekeyError('ERR_STORE', 'the registry is closed'));
    this.#length += 1;
    const done = this.#last.then(work).finally(() => {
      this.#length -= 1;
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** Accepts no more work, and waits for the queued work. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}
