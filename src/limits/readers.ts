/**
 * Pauses reading from the connections of an owner. Reading itself takes time before any of the work can be delayed,
 * since node:http2 creates a stream as soon as its headers come. So when an owner has used up its time in a turn of the
 * event loop, all its connections are paused until its next turn; then they are resumed a few at a time.
 */

/** A connection. */
export interface Reader {
  pause(): void;
  resume(): void;
}

/** Number of connections resumed in a turn of the event loop. */
const AT_ONCE = 32;

/** The connections of one owner. */
export class Readers {
  readonly #reading = new Set<Reader>();
  /** The longest paused first. */
  readonly #resting = new Set<Reader>();
  #isToGoOn = false;

  /** Adds a connection, which must not be paused yet. */
  add(reader: Reader): void {
    if (this.#resting.size === 0) {
      this.#reading.add(reader);
      return;
    }
    reader.pause();
    this.#resting.add(reader);
  }

  /** Removes a connection that has closed. */
  remove(reader: Reader): void {
    this.#reading.delete(reader);
    this.#resting.delete(reader);
  }

  /**
   * Pauses all connections until the owner's next turn.
   *
   * @param later runs work in the owner's next turn
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
      // Input on the resumed connections may use up the time again, so the others wait until it was read.
      else setImmediate(() => this.#goOn(later));
    });
  }
}
