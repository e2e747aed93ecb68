/**
 * The queue of streams that have something to push. It works in short slices, so that a change for ten thousand streams
 * does not block new callers. The streams of one connection push in a row, so that HTTP/2 writes their responses to the
 * socket at once.
 *
 * Reading a client's ACK takes about as long as a push, since Envoy's requests are large. So while streams still wait
 * for their push, connections that were already served are paused: they are not read from. Once no stream waits, they
 * are resumed a few per turn of the event loop. Under continuous change, connections that were paused for longer than
 * LATE_MS are resumed as fast as new ones are paused, so that none starves.
 */

import type { Peer } from '../attest/types.ts';
import { Fifo } from '../base/fifo.ts';

/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 5;
/**
 * How long a connection stays paused under continuous change, in milliseconds: longer than one change takes to reach
 * ten thousand streams.
 */
const LATE_MS = 1_000;
/** The minimum number of connections resumed in a turn of the event loop. */
const LET_GO = 8;

export interface Pushing {
  /** The connection of the stream. */
  readonly peer: Peer;
  /** Returns true if it has sent something. Must not throw. */
  push(): boolean;
}

/** A connection and its streams that wait to push. */
interface Line {
  readonly peer: Peer;
  places: Fifo<QueuePlace>;
  /** When reading from it was paused, in milliseconds (`performance.now()`); undefined: not paused. */
  pausedAt: number | undefined;
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
  readonly #lines = new WeakMap<Peer, Line>();
  /** Connections with waiting streams. */
  readonly #waiting = new Fifo<Line>();
  /** The waiting streams of the connection that is being served. */
  #served = new Fifo<QueuePlace>();
  /** The number of streams that wait to push. */
  #waits = 0;
  /** Paused connections, the longest paused first. */
  readonly #paused = new Fifo<Line>();
  #scheduled = false;

  /** Makes the place of a stream, initially not waiting. */
  place(stream: Pushing): QueuePlace {
    const { peer } = stream;
    let line = this.#lines.get(peer);
    if (line === undefined) {
      line = { peer, places: new Fifo(), pausedAt: undefined };
      this.#lines.set(peer, line);
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
    if (this.#waits > 0) {
      for (const line of sentTo) this.#pause(line, begin);
      this.#letGo(Math.max(LET_GO, sentTo.size), begin - LATE_MS);
    } else this.#letGo(LET_GO, begin);
    if (this.#waits > 0 || this.#paused.length > 0) this.#schedule();
  }

  /** Pushes until `end`; returns the connections to which something was sent. */
  #push(end: number): Set<Line> {
    const lines = new Set<Line>();
    for (let place = this.#shift(); place !== undefined; place = this.#shift()) {
      if (!place.waits) continue;
      place.waits = false;
      this.#waits -= 1;
      if (place.stream.push()) lines.add(place.line);
      if (performance.now() >= end) break;
    }
    return lines;
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

  #pause(line: Line, now: number): void {
    if (line.pausedAt !== undefined) return;
    line.pausedAt = now;
    line.peer.pause();
    this.#paused.push(line);
  }

  /** Resumes up to `count` of the connections that were paused at `by` or earlier. */
  #letGo(count: number, by: number): void {
    for (let i = 0; i < count; i += 1) {
      const line = this.#paused.first;
      if (line === undefined || line.pausedAt! > by) return;
      this.#paused.shift();
      line.pausedAt = undefined;
      line.peer.resume();
    }
  }
}
