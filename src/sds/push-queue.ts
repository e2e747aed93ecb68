/**
 * Streams that have something to push, served in slices: a change that concerns ten thousand of them must not keep the
 * event loop from a new caller. The streams of one connection come one after the other: HTTP/2 then writes their
 * responses to the socket in one go.
 */

import type { Peer } from '../attest/types.ts';

/** How long a slice may take, in milliseconds. */
const SLICE_MS = 8;

export interface Pushing {
  /** Whose connection the stream is on. */
  readonly peer: Peer;
  /** Must not throw. */
  push(): void;
}

export class PushQueue {
  readonly #waiting = new Map<Peer, Set<Pushing>>();
  #scheduled = false;

  /** Lets the stream push soon; once, however often it is asked for before. */
  add(stream: Pushing): void {
    const streams = this.#waiting.get(stream.peer);
    if (streams === undefined) this.#waiting.set(stream.peer, new Set([stream]));
    else streams.add(stream);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  remove(stream: Pushing): void {
    const streams = this.#waiting.get(stream.peer);
    streams?.delete(stream);
    if (streams?.size === 0) this.#waiting.delete(stream.peer);
  }

  #drain(): void {
    const end = performance.now() + SLICE_MS;
    for (const [peer, streams] of this.#waiting) {
      for (const stream of streams) {
        streams.delete(stream);
        stream.push();
        if (performance.now() >= end) break;
      }
      // A push may have taken the last stream out, and brought the connection in anew.
      if (streams.size === 0 && this.#waiting.get(peer) === streams) this.#waiting.delete(peer);
      if (performance.now() >= end) break;
    }
    this.#scheduled = this.#waiting.size > 0;
    if (this.#scheduled) setImmediate(() => this.#drain());
  }
}
