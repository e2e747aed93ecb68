/** A set of listeners for one kind of event. */
export class Listeners<T> {
  readonly #listeners = new Set<(event: T) => void>();
  readonly #failed: (error: unknown) => void;

  /** @param failed called with the errors that listeners throw */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** Adding a listener twice has no effect. Returns a function that removes it. */
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

/** Calls each listener. A failing listener does not affect the others or the caller. */
export function tellEach<T>(listeners: Iterable<(event: T) => void>, event: T, failed: (error: unknown) => void): void {
  for (const listener of listeners) {
    try {
      listener(event);
    } catch (error) {
      failed(error);
    }
  }
}
