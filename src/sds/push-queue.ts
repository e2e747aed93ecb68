/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller.
 */

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 8;

export interface Pushing {
  /** Must not throw. */
  push(): void;
}

export class PushQueue {
  readonly #waiting = new Set<Pushing>();
  #scheduled = false;

  /** Lets the stream push soon; once, however often it is asked for before. */
  add(stream: Pushing): void {
    this.#waiting.add(stream);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  remove(stream: Pushing): void {
    this.#waiting.delete(stream);
  }

  #drain(): void {
    const end = performance.now() + SLICE_MS;
    for (const stream of this.#waiting) {
      this.#waiting.delete(stream);
      stream.push();
      if (performance.now() >= end) break;
    }
    this.#scheduled = this.#waiting.size > 0;
    if (this.#scheduled) setImmediate(() => this.#drain());
  }
}
