/**
 * The queue of streams that have something to push. It works in short slices, so that a change for ten thousand streams
 * does not block new callers. The streams of one connection push in a row, so that HTTP/2 writes their responses to the
 * socket at once.
 */

import { Fifo } from '../base/index.ts';
import type { StreamConnection } from '../wire/index.ts';
import { PushFlow } from './push-flow.ts';

/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 5;

export interface Pushing {
  readonly connection: StreamConnection;
  /** Returns true if it has sent something. Must not throw. */
  push(): boolean;
}

/** The streams of a connection that wait to push. */
interface Line {
  places: Fifo<QueuePlace>;
}

/** A stream's place in the queue. It carries the waiting mark, because a set of all streams would cost more. */
export class QueuePlace {
  readonly stream: Pushing;
  readonly line: Line;
  /** True while the stream waits to push. */
  waits = false;

  constructor(stream: Pushing, line: Line) {
    this.stream = stream;
    this.line = line;
  }
}

export class PushQueue {
  readonly #lines = new WeakMap<StreamConnection, Line>();
  /** Connections with waiting streams. */
  readonly #waiting = new Fifo<Line>();
  /** The waiting streams of the connection that is being served. */
  #served = new Fifo<QueuePlace>();
  /** The number of streams that wait to push. */
  #waits = 0;
  readonly #flow = new PushFlow();
  #scheduled = false;

  /** The number of streams that wait to push. */
  get length(): number {
    return this.#waits;
  }

  /** Makes the place of a stream, initially not waiting. */
  place(stream: Pushing): QueuePlace {
    const { connection } = stream;
    let line = this.#lines.get(connection);
    if (line === undefined) {
      line = { places: new Fifo() };
      this.#lines.set(connection, line);
    }
    return new QueuePlace(stream, line);
  }

  /** Schedules one push of the stream; further calls before that push have no effect. */
  add(place: QueuePlace): void {
    if (place.waits) return;
    place.waits = true;
    this.#waits += 1;
    const { line } = place;
    if (line.places.length === 0) this.#waiting.push(line);
    line.places.push(place);
    this.#schedule();
  }

  remove(place: QueuePlace): void {
    if (place.waits) this.#waits -= 1;
    place.waits = false;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  #drain(): void {
    this.#scheduled = false;
    const begin = performance.now();
    const sentTo = this.#push(begin + SLICE_MS);
    const areDeferred = this.#flow.after(sentTo, this.#waits > 0, begin);
    if (this.#waits > 0 || areDeferred) this.#schedule();
  }

  /** Pushes until `end`; returns the connections to which something was sent. */
  #push(end: number): Set<StreamConnection> {
    const sentTo = new Set<StreamConnection>();
    for (let place = this.#shift(); place !== undefined; place = this.#shift()) {
      if (!place.waits) continue;
      place.waits = false;
      this.#waits -= 1;
      if (place.stream.push()) sentTo.add(place.stream.connection);
      if (performance.now() >= end) break;
    }
    return sentTo;
  }

  /** The next place, waiting or not. */
  #shift(): QueuePlace | undefined {
    while (this.#served.length === 0) {
      const line = this.#waiting.shift();
      if (line === undefined) return undefined;
      this.#served = line.places;
      // A stream that is added again while its connection is served comes after the other connections.
      line.places = new Fifo();
    }
    return this.#served.shift();
  }
}
