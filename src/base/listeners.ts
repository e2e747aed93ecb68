/** The listeners to one kind of event. */
export class Listeners<T> {
  readonly #listeners = new Set<(event: T) => void>();
  readonly #failed: (error: unknown) => void;

  /** @param failed told of what a listener threw */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** A listener that is added twice is told once. Returns the way to stop. */
  add(listener: (event: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(event: T): void {
    tellEach([...this.#listeners], event, this.#failed);
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** Tells each listener. One that throws is reported, and the others are told all the same. */
export function tellEach<T>(listeners: Iterable<(event: T) => void>, event: T, failed: (error: unknown) => void): void {
  for (const listener of listeners) {
    try {
      listener(event);
    } catch (error) {
      failed(error);
    }
  }
}
