/**
 * Whose connections are read from. To read takes time before anything of it can wait for a turn: an HTTP/2 stream is made
 * as soon as its headers come. So an owner that has used up its time in a turn of the event loop is not read from until its
 * next one, on none of its connections; then some of them are at a time.
 */

/** A connection. */
export interface Reader {
  pause(): void;
  resume(): void;
}

/** How many connections are read from again in a turn of the event loop. */
const AT_ONCE = 32;

/** The connections of one owner. */
export class Readers {
  readonly #reading = new Set<Reader>();
  /** Those that have waited longest first. */
  readonly #resting = new Set<Reader>();
  #isToGoOn = false;

  /** The reader must not be paused by this before. */
  add(reader: Reader): void {
    if (this.#resting.size === 0) {
      this.#reading.add(reader);
      return;
    }
    reader.pause();
    this.#resting.add(reader);
  }

  /** The connection has closed. */
  remove(reader: Reader): void {
    this.#reading.delete(reader);
    this.#resting.delete(reader);
  }

  /**
   * Nothing is read from any of them until the owner's next turn.
   *
   * @param later does work in the owner's next turn
   */
  rest(later: (work: () => void) => void): void {
    for (const reader of this.#reading) {
      reader.pause();
      this.#resting.add(reader);
    }
    this.#reading.clear();
    if (!this.#isToGoOn && this.#resting.size > 0) this.#goOn(later);
  }

  #goOn(later: (work: () => void) => void): void {
    this.#isToGoOn = true;
    later(() => {
      let left = AT_ONCE;
      for (const reader of this.#resting) {
        if (left === 0) break;
        left -= 1;
        this.#resting.delete(reader);
        this.#reading.add(reader);
        reader.resume();
      }
      if (this.#resting.size === 0) this.#isToGoOn = false;
      // What these bring may use the time up again: the others wait until it was read.
      else setImmediate(() => this.#goOn(later));
    });
  }
}
