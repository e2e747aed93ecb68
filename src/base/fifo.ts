/** What came first leaves first, at a price that does not depend on how much waits: an array's own `shift` moves the rest. */

/** So much that has left may be kept room for, at least. */
const SPARE = 1_000;

export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  /** What leaves next; undefined where nothing waits. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Undefined where nothing waits. */
  shift(): T | undefined {
    const item = this.first;
    if (this.length === 0) return undefined;
    this.#items[this.#first] = undefined;
    this.#first += 1;
    if (this.length === 0 || this.#first > this.length + SPARE) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
