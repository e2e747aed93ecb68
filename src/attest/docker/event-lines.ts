/** The lines of an engine's events, put together from pieces of text. No more than one line's limit is ever kept. */

/**
 * The most characters of one line. An event has all labels of a container in it, which its image can make as long as it
 * likes: the events of containers that people run have a few thousand characters.
 */
export const MAX_LINE_CHARACTERS = 65_536;

/** How much of a line that is too long is given: who it is about stands at its beginning. */
const BEGINNING_CHARACTERS = 256;

/** A line that is too long to be read. */
export interface LongLine {
  readonly beginning: string;
}

export class EventLines {
  /** Of the line that has not ended. */
  #rest = '';
  /** The line that has not ended is too long, and what still comes of it is dropped. */
  #dropping = false;

  /** Takes the next piece and gives the lines that it completes, without empty ones; a line that is too long as soon as it is. */
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
