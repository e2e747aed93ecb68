/**
 * Time as a seam: every part takes a {@link Clock}, tests drive one.
 *
 * Deadlines are wall-clock instants. A bare `setTimeout` is not enough for them: it stands still while a machine is
 * suspended, never hears of a clock that was set, and fires at once beyond 24.8 days. So the system clock looks at its
 * deadlines when the nearest is due *and* at a coarse tick. A clock that was set ahead is met by what is due then; one
 * that was set back has listeners of its own. Grace periods and retries are no instants: they wait, whatever the wall
 * clock does meanwhile.
 */

/** Something that was asked for at an instant and can be called off. */
export interface Deadline {
  /** Calls the deadline off; a deadline that has passed stays passed. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch, by the wall clock. */
  now(): number;
  /** Calls back once, never before `instant` (milliseconds since the epoch) and never synchronously. */
  at(instant: number, callback: () => void): Deadline;
  /** Calls back once, when `delay` milliseconds (a day at most) have passed, whatever the wall clock was set to meanwhile. */
  after(delay: number, callback: () => void): Deadline;
  /** Told soon after the wall clock went back behind what it has shown. Returns the way to stop. */
  onSetBack(listener: () => void): () => void;
}

/** How long a jump of the wall clock (set by hand, suspend) can go unnoticed, in milliseconds. */
const TICK_MS = 5_000;

interface Pending extends Deadline {
  readonly instant: number;
  readonly callback: () => void;
  /** Called or called off. */
  done: boolean;
}

/** How many deadlines that were called off may wait in the heap, at least, before it is cleared of them. */
const SPARE_CANCELLED = 1_024;
/** How long deadlines that are due are called in one go, in milliseconds. */
const SLICE_MS = 8;

/** The machine's clock. Its timer never keeps the process alive. */
export class SystemClock implements Clock {
  /** A binary heap, the nearest instant first. */
  #heap: Pending[] = [];
  /** How many of the heap's deadlines were called off, about: one that was called off on the way to its call counts too. */
  #cancelled = 0;
  /** What is due and not called yet, in order. */
  #due: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  readonly #setBackListeners = new Set<() => void>();
  /** The latest that the wall clock showed at a tick since it was last set back. */
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
    if (Number.isNaN(instant)) throw new RangeError('a deadline is at an instant, not at NaN');
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
    // Far deadlines that are called off over and over (each renewal sets a new one) must not pile up until they are due.
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

  /** In slices: after a long sleep thousands may be due at once. */
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

/** One callback that throws must not keep the others from being called; its error is uncaught all the same. */
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
