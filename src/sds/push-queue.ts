/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller. The streams of one connection come one after the other: HTTP/2 then writes their
 * responses to the socket in one go. What clients say meanwhile, as a rule that they have taken it, is looked at when
 * all have it: those that wait for a secret come first. Changes that follow each other without a pause must not put it off
 * for ever, and so both have their turn when it has waited long.
 */

import type { Peer } from '../attest/types.ts';

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 8;
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

export class PushQueue {
  readonly #waiting = new Map<Peer, Set<Pushing>>();
  /** Streams whose clients have said something meanwhile; each once, however much a client says. */
  readonly #behind = new Set<Pushing>();
  /** Since when one of them waits. */
  #behindSince = 0;
  #scheduled = false;

  /** True while streams wait to push. */
  get busy(): boolean {
    return this.#waiting.size > 0;
  }

  /** Lets the stream catch up once no stream waits to push, or after a while; to call while the queue is busy. */
  catchUpLater(stream: Pushing): void {
    if (this.#behind.size === 0) this.#behindSince = performance.now();
    this.#behind.add(stream);
  }

  /** Lets the stream push soon; once, however often it is asked for before. */
  add(stream: Pushing): void {
    const streams = this.#waiting.get(stream.peer);
    if (streams !== undefined) streams.add(stream);
    else this.#waiting.set(stream.peer, new Set<Pushing>().add(stream));
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  remove(stream: Pushing): void {
    this.#behind.delete(stream);
    const streams = this.#waiting.get(stream.peer);
    streams?.delete(stream);
    if (streams?.size === 0) this.#waiting.delete(stream.peer);
  }

  #drain(): void {
    const begin = performance.now();
    const isLate = this.#behind.size > 0 && begin - this.#behindSince >= LATE_MS;
    this.#push(begin + (isLate ? SLICE_MS / 2 : SLICE_MS));
    if (isLate || this.#waiting.size === 0) this.#catchUp(begin + SLICE_MS);
    this.#scheduled = this.#waiting.size > 0 || this.#behind.size > 0;
    if (this.#scheduled) setImmediate(() => this.#drain());
  }

  #push(end: number): void {
    let over = false;
    for (const [peer, streams] of this.#waiting) {
      for (const stream of streams) {
        streams.delete(stream);
        stream.push();
        over = performance.now() >= end;
        if (over) break;
      }
      // A push may have taken the last stream out, and brought the connection in anew.
      if (streams.size === 0 && this.#waiting.get(peer) === streams) this.#waiting.delete(peer);
      if (over) break;
    }
  }

  #catchUp(end: number): void {
    for (const stream of this.#behind) {
      this.#behind.delete(stream);
      stream.catchUp();
      if (performance.now() >= end) break;
    }
  }
}
