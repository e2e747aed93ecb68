/** A queue with constant cost per item; `shift` of an array moves all other items. */

/** The array is compacted when its removed slots outnumber its items by this many. */
const SPARE = 1_000;

export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  /** The next item; undefined if the queue is empty. */
  get first(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Removes and returns the next item; undefined if the queue is empty. */
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
