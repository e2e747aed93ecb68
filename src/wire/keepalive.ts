/** Finds the clients that hang: of one that ends the kernel tells. */

import type { Http2Session } from 'node:http2';
import type { Clock, Deadline } from '../base/clock.ts';

/** How long after the last PING the next is sent, in milliseconds. */
const TIME_MS = 60_000;
/** How long its answer may take, in milliseconds. */
const TIMEOUT_MS = 20_000;

/** Calls `dead` when the client leaves a PING without an answer. Returns the way to stop. */
export function keepAlive(session: Http2Session, clock: Clock, dead: () => void): () => void {
  let next: Deadline = clock.after(TIME_MS, ping);

  function ping(): void {
    if (session.destroyed) return;
    const late = clock.after(TIMEOUT_MS, dead);
    next = late;
    session.ping((failed) => {
      late.cancel();
      // A session that ends fails what it still waits for.
      if (failed === null && !session.destroyed && next === late) next = clock.after(TIME_MS, ping);
    });
  }

  return () => next.cancel();
}
