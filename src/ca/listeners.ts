/** Who wants to hear of something. */
export class Listeners<T> {
  readonly #listeners = new Set<(event: T) => void>();

  /** Returns the way to stop. */
  add(listener: (event: T) => void): () => void {
    const own = (event: T) => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  tell(event: T): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
