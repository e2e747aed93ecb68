/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller. The streams of one connection come one after the other: HTTP/2 then writes their
 * responses to the socket in one go. What clients say meanwhile, as a rule that they have taken it, is looked at when
 * all have it: those that wait for a secret come first. Changes that follow each other without a pause must not put it off
 * for ever, and so both have their turn when it has waited long.
 */

import type { Peer } from '../attest/types.ts';
import { Fifo } from '../base/fifo.ts';

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 5;
/** How long what clients say may wait for pushes, in milliseconds: longer than one change takes to reach ten thousand streams. */
const LATE_MS = 1_000;

export interface Pushing {
  /** Whose connection the stream is on. */
  readonly peer: Peer;
  /** Must not throw. */
  push(): void;
  /** Looks at what the client said while the queue was busy. Must not throw. */
  catchUp(): void;
}

/** The streams of one connection that wait to push. */
interface Line {
  places: Fifo<Place>;
}

/** A stream's place in the queue: marks on it instead of sets of streams, since all of them may come at once. */
export class Place {
  readonly stream: Pushing;
  readonly line: Line;
  /** Waits to push. */
  waits = false;
  /** Its client has said something meanwhile. */
  isBehind = false;

  constructor(stream: Pushing, line: Line) {
    this.stream = stream;
    this.line = line;
  }
}

export class PushQueue {
  readonly #lines = new WeakMap<Peer, Line>();
  /** Connections with streams that wait. */
  readonly #waiting = new Fifo<Line>();
  /** Of the connection that is served, the streams that waited when it came to be. */
  #served = new Fifo<Place>();
  /** How many streams wait to push. */
  #waits = 0;
  /** Streams whose clients have said something meanwhile; each once, however much a client says. */
  readonly #behind = new Fifo<Place>();
  /** Since when one of them waits. */
  #behindSince = 0;
  #scheduled = false;

  /** True while streams wait to push. */
  get busy(): boolean {
    return this.#waits > 0;
  }

  /** The place of a stream, which does not wait yet. */
  place(stream: Pushing): Place {
    let line = this.#lines.get(stream.peer);
    if (line === undefined) {
      line = { places: new Fifo() };
      this.#lines.set(stream.peer, line);
    }
    return new Place(stream, line);
  }

  /** Lets the stream catch up once no stream waits to push, or after a while; to call while the queue is busy. */
  catchUpLater(place: Place): void {
    if (place.isBehind) return;
    if (this.#behind.length === 0) this.#behindSince = performance.now();
    place.isBehind = true;
    this.#behind.push(place);
  }

  /** Lets the stream push soon; once, however often it is asked for before. */
  add(place: Place): void {
    if (place.waits) return;
    place.waits = true;
    this.#waits += 1;
    const { line } = place;
    if (line.places.length === 0) this.#waiting.push(line);
    line.places.push(place);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  remove(place: Place): void {
    place.isBehind = false;
    if (place.waits) this.#waits -= 1;
    place.waits = false;
  }

  #drain(): void {
    const begin = performance.now();
    const isLate = this.#behind.length > 0 && begin - this.#behindSince >= LATE_MS;
    this.#push(begin + (isLate ? SLICE_MS / 2 : SLICE_MS));
    if (isLate || this.#waits === 0) this.#catchUp(begin + SLICE_MS);
    this.#scheduled = this.#waits > 0 || this.#behind.length > 0;
    if (this.#scheduled) setImmediate(() => this.#drain());
  }

  #push(end: number): void {
    for (let place = this.#shift(); place !== undefined; place = this.#shift()) {
      if (!place.waits) continue;
      place.waits = false;
      this.#waits -= 1;
      place.stream.push();
      if (performance.now() >= end) return;
    }
  }

  /** The next place, whether it still waits or not. */
  #shift(): Place | undefined {
    while (this.#served.length === 0) {
      const line = this.#waiting.shift();
      if (line === undefined) return undefined;
      this.#served = line.places;
      // Who asks again while its connection is served comes after the other connections.
      line.places = new Fifo();
    }
    return this.#served.shift();
  }

  #catchUp(end: number): void {
    for (let place = this.#behind.shift(); place !== undefined; place = this.#behind.shift()) {
      if (!place.isBehind) continue;
      place.isBehind = false;
      place.stream.catchUp();
      if (performance.now() >= end) return;
    }
  }
}
