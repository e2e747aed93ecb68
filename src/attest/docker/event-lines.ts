/** Splits an engine's event stream into lines. It buffers at most one line. */

/**
 * Maximum length of a line, in characters. An event contains all labels of its container, and an image can set labels
 * of any length. Typical events have a few thousand characters.
 */
export const MAX_LINE_CHARACTERS = 65_536;

/** The number of characters that are returned of a longer line; they contain the container's id. */
const BEGINNING_CHARACTERS = 256;

/** A line that exceeds {@link MAX_LINE_CHARACTERS}. */
export interface LongLine {
  readonly beginning: string;
}

export class EventLines {
  /** The unfinished line. */
  #rest = '';
  /** True if the unfinished line is too long; the rest of it is dropped. */
  #dropping = false;

  /**
   * Takes a piece of the stream. Yields the non-empty lines that it completes, and a line that has just become too
   * long.
   */
  *push(piece: string): Iterable<string | LongLine> {
    let from = 0;
    for (let end = piece.indexOf('\n'); end !== -1; end = piece.indexOf('\n', from)) {
      yield* this.#take(piece.slice(from, end));
      if (!this.#dropping && this.#rest.trim() !== '') yield this.#rest;
      this.#rest = '';
      this.#dropping = false;
      from = end + 1;
    }
    yield* this.#take(piece.slice(from));
  }

  *#take(part: string): Iterable<LongLine> {
    if (this.#dropping) return;
    if (this.#rest.length + part.length <= MAX_LINE_CHARACTERS) {
      this.#rest += part;
      return;
    }
    this.#dropping = true;
    const beginning = (this.#rest + part.slice(0, BEGINNING_CHARACTERS)).slice(0, BEGINNING_CHARACTERS);
    this.#rest = '';
    yield { beginning };
  }
}
