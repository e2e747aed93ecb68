/**
 * Which parts of the server are ready, and since when. The parts are looked at when somebody asks, and every second in
 * between, so that `since` is right within a second whoever asks when.
 */

import type { Readiness, ReadinessPart } from '../admin/index.ts';
import type { Clock, Deadline } from '../base/index.ts';

/** Returns the reason why a part is not ready; undefined if it is. */
export type WhyNotReady = () => string | undefined;

const LOOK_EACH_MS = 1_000;

export class ReadinessWatch {
  readonly #clock: Clock;
  readonly #parts = new Map<string, { readonly why: WhyNotReady; reason: string | undefined; since: number }>();
  #next: Deadline;
  #listener: (readiness: Readiness) => void = () => undefined;

  /** @param parts in the order of answers */
  constructor(clock: Clock, parts: Readonly<Record<string, WhyNotReady>>) {
    this.#clock = clock;
    const since = clock.now();
    for (const [name, why] of Object.entries(parts)) this.#parts.set(name, { why, reason: why(), since });
    this.#next = this.#lookLater();
  }

  look(): Readiness {
    const now = this.#clock.now();
    const parts: ReadinessPart[] = [];
    for (const [name, part] of this.#parts) {
      const reason = part.why();
      // Another reason for the same state does not begin anew.
      if ((reason === undefined) !== (part.reason === undefined)) part.since = now;
      part.reason = reason;
      parts.push({ name, ready: reason === undefined, since: part.since, reason });
    }
    return { ready: parts.every(({ ready }) => ready), parts };
  }

  /** Calls the listener every second. */
  onLook(listener: (readiness: Readiness) => void): void {
    this.#listener = listener;
  }

  close(): void {
    this.#next.cancel();
  }

  #lookLater(): Deadline {
    return this.#clock.after(LOOK_EACH_MS, () => {
      this.#next = this.#lookLater();
      this.#listener(this.look());
    });
  }
}
