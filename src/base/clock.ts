/**
 * Time as a dependency: every part takes a {@link Clock}, and tests control theirs.
 *
 * Deadlines are instants of the wall clock. `setTimeout` alone is not enough for them: it stands still while the
 * machine is suspended, does not notice when the clock is set, and fires at once for more than 24.8 days. So the system
 * clock checks its deadlines when the nearest is due *and* at a coarse tick. If the clock is set ahead, the due
 * deadlines are called; if it is set back, separate listeners are. Delays (grace periods, retries) do not depend on the
 * wall clock.
 */

/** A pending callback that can be cancelled. */
export interface Deadline {
  /** Cancels the callback; a no-op once it was called. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch, by the wall clock. */
  now(): number;
  /** Calls back once, never before `instant` (milliseconds since the epoch) and never synchronously. */
  at(instant: number, callback: () => void): Deadline;
  /** Calls back once after `delay` milliseconds (at most a day), whatever the wall clock is set to meanwhile. */
  after(delay: number, callback: () => void): Deadline;
  /** Calls the listener soon after the wall clock was set back. Returns a function that stops it. */
  onSetBack(listener: () => void): () => void;
}

/** How long a jump of the wall clock (set by hand, suspend) can go unnoticed, in milliseconds. */
const TICK_MS = 5_000;

interface Pending extends Deadline {
  readonly instant: number;
  readonly callback: () => void;
  /** Called or cancelled. */
  done: boolean;
}

/** The heap is cleaned only when it has more cancelled deadlines than this. */
const SPARE_CANCELLED = 1_024;
/** Maximum time in which due deadlines are called without a break, in milliseconds. */
const SLICE_MS = 8;

/** The machine's clock. Its timer never keeps the process alive. */
export class SystemClock implements Clock {
  /** A binary heap, the nearest instant first. */
  #heap: Pending[] = [];
  /** The approximate number of cancelled deadlines in the heap; it includes some that are already due. */
  #cancelled = 0;
  /** Due deadlines that were not called yet, in order. */
  #due: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  readonly #setBackListeners = new Set<() => void>();
  /** The latest time seen at a tick since the clock was last set back. */
  #latest = Number.NEGATIVE_INFINITY;

  now(): number {
    return Date.now();
  }

  after(delay: number, callback: () => void): Deadline {
    const timer = setTimeout(callback, delay);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  onSetBack(listener: () => void): () => void {
    this.#setBackListeners.add(listener);
    this.#latest = Math.max(this.#latest, Date.now());
    this.#arm();
    return () => this.#setBackListeners.delete(listener);
  }

  at(instant: number, callback: () => void): Deadline {
    if (Number.isNaN(instant)) throw new RangeError('the instant of a deadline is NaN');
    const pending: Pending = {
      instant,
      callback,
      done: false,
      cancel: () => this.#cancel(pending),
    };
    push(this.#heap, pending);
    this.#arm();
    return pending;
  }

  #cancel(pending: Pending): void {
    if (pending.done) return;
    pending.done = true;
    this.#cancelled += 1;
    // Each renewal cancels a distant deadline and sets a new one; without cleaning they would pile up until they are
    // due.
    if (this.#cancelled <= Math.max(SPARE_CANCELLED, this.#heap.length / 2)) return;
    const left = this.#heap.filter(({ done }) => !done);
    this.#heap = [];
    this.#cancelled = 0;
    for (const one of left) push(this.#heap, one);
  }

  #arm(): void {
    const nearest = this.#heap[0];
    if (nearest === undefined && this.#setBackListeners.size === 0) return;
    const now = Date.now();
    const wakeAt = Math.min(Math.max(nearest?.instant ?? now + TICK_MS, now), now + TICK_MS);
    if (this.#timer !== undefined && this.#wakeAt <= wakeAt) return;
    clearTimeout(this.#timer);
    this.#wakeAt = wakeAt;
    this.#timer = setTimeout(() => this.#wake(), wakeAt - now);
    this.#timer.unref();
  }

  #wake(): void {
    this.#timer = undefined;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    const now = Date.now();
    const waiting = this.#due.length > 0;
    for (let first = this.#heap[0]; first !== undefined && (first.done || first.instant <= now); ) {
      pop(this.#heap);
      if (first.done) this.#cancelled -= 1;
      else this.#due.push(first);
      first = this.#heap[0];
    }
    this.#arm();
    const setBack = now < this.#latest;
    this.#latest = now;
    if (setBack) for (const listener of [...this.#setBackListeners]) call(listener);
    if (!waiting) this.#callDue();
  }

  /** In slices, since thousands of deadlines may be due after a long sleep. */
  #callDue(): void {
    const end = performance.now() + SLICE_MS;
    let called = 0;
    for (const pending of this.#due) {
      if (called > 0 && performance.now() >= end) break;
      called += 1;
      if (pending.done) continue;
      pending.done = true;
      call(pending.callback);
    }
    this.#due = this.#due.slice(called);
    if (this.#due.length > 0) setImmediate(() => this.#callDue()).unref();
  }
}

/** A throwing callback must not prevent the other calls; its error becomes an uncaught exception. */
function call(callback: () => void): void {
  try {
    callback();
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}

function push(heap: Pending[], item: Pending): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]!.instant <= item.instant) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Pending[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]!.instant < heap[child]!.instant) child += 1;
    if (heap[child]!.instant >= last.instant) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
}
