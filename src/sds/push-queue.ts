/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller. The streams of one connection come one after the other: HTTP/2 then writes their
 * responses to the socket in one go.
 *
 * Who has been sent something answers, as a real Envoy with 61 KB, and to read that takes as long as to push. Those that
 * wait for a secret come first: while one slice is not enough for all, the connections that it sent to are not read from
 * until all have their turn; a stream that opens on one of them waits as long. Then they are let go some at a time, since
 * all of them at once would keep the event loop for long. Changes that follow each other without a pause must not put
 * them off for ever: those that have waited long are let go all the same, as many as are left unread meanwhile.
 */

import type { Peer } from '../attest/types.ts';
import { Fifo } from '../base/fifo.ts';

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 5;
/** How long a connection is left unread while others push, in milliseconds: longer than a change takes to reach ten thousand. */
const LATE_MS = 1_000;
/** How many connections are let go in a turn of the event loop, at least. */
const LET_GO = 8;

export interface Pushing {
  /** Whose connection the stream is on. */
  readonly peer: Peer;
  /** Says whether it has sent something. Must not throw. */
  push(): boolean;
}

/** A connection, and its streams that wait to push. */
interface Line {
  readonly peer: Peer;
  places: Fifo<QueuePlace>;
  /** Since when nothing is read from it, in milliseconds; undefined: it is read from. */
  pausedAt: number | undefined;
}

/** A stream's place in the queue: a mark on it instead of a set of streams, since all of them may come at once. */
export class QueuePlace {
  readonly stream: Pushing;
  readonly line: Line;
  /** Waits to push. */
  waits = false;

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
  #served = new Fifo<QueuePlace>();
  /** How many streams wait to push. */
  #waits = 0;
  /** Connections that are not read from, those that were left first before the others. */
  readonly #paused = new Fifo<Line>();
  #scheduled = false;

  /** The place of a stream, which does not wait yet. */
  place(stream: Pushing): QueuePlace {
    const { peer } = stream;
    let line = this.#lines.get(peer);
    if (line === undefined) {
      line = { peer, places: new Fifo(), pausedAt: undefined };
      this.#lines.set(peer, line);
    }
    return new QueuePlace(stream, line);
  }

  /** Lets the stream push soon; once, however often it is asked for before. */
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

  /** Says which connections it has sent something to. */
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

  /** The next place, whether it still waits or not. */
  #shift(): QueuePlace | undefined {
    while (this.#served.length === 0) {
      const line = this.#waiting.shift();
      if (line === undefined) return undefined;
      this.#served = line.places;
      // Who asks again while its connection is served comes after the other connections.
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

  /** Lets so many go of those that were paused by then. */
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
