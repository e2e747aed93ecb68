/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller.
 */

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 8;

export class PushQueue {
  readonly #waiting = new Set<() => void>();
  #scheduled = false;

  /** Runs `push`, which must not throw, soon; once, however often it is asked for before. */
  add(push: () => void): void {
    this.#waiting.add(push);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  remove(push: () => void): void {
    this.#waiting.delete(push);
  }

  #drain(): void {
    const end = performance.now() + SLICE_MS;
    for (const push of this.#waiting) {
      this.#waiting.delete(push);
      push();
      if (performance.now() >= end) break;
    }
    this.#scheduled = this.#waiting.size > 0;
    if (this.#scheduled) setImmediate(() => this.#drain());
  }
}
