/** Detects clients that hang. A process that ends is reported by the kernel instead. */

import type { Http2Session } from 'node:http2';
import type { Clock, Deadline } from '../base/index.ts';

/** Time between an answer and the next PING, in milliseconds. */
const TIME_MS = 60_000;
/** Maximum time for the answer to a PING, in milliseconds. */
const TIMEOUT_MS = 20_000;

/** Calls `dead` if a PING is not answered in time. Returns a function that stops the keepalive. */
export function keepAlive(session: Http2Session, clock: Clock, dead: () => void): () => void {
  let next: Deadline = clock.after(TIME_MS, ping);

  function ping(): void {
    if (session.destroyed) return;
    const late = clock.after(TIMEOUT_MS, dead);
    next = late;
    session.ping((failed) => {
      late.cancel();
      // The callback gets an error when the session ends.
      if (failed === null && !session.destroyed && next === late) next = clock.after(TIME_MS, ping);
    });
  }

  return () => next.cancel();
}
