/** Writes one at a time: each sees all that the one before it did. */

import { SidekeyError } from '../base/errors.ts';

export class WriteQueue {
  /** The end of the queue; it never rejects. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Does the work when all that came before is done. @throws what it throws; ERR_STORE when the queue is closed */
  add<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new SidekeyError('ERR_STORE', 'the registry is closed'));
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Takes no more, and waits for what is queued. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}
