/**
 * Ids of which the engine said a moment ago that it knows no such container. A caller whose cgroup is named after none may
 * call as often as its limits let it; each of its attestations would cost the engine a question.
 */

import type { Clock } from '../../base/clock.ts';

/** How long, in milliseconds: containers that the engine makes meanwhile are told by its events. */
export const UNKNOWN_MS = 1_000;
/** How many; the oldest are forgotten first. */
const MOST = 1_000;

export class UnknownIds {
  readonly #clock: Clock;
  /** By id, the oldest first: when the engine said so. */
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(id: string): void {
    this.#since.delete(id);
    if (this.#since.size >= MOST) this.#since.delete(this.#since.keys().next().value!);
    this.#since.set(id, this.#clock.now());
  }

  has(id: string): boolean {
    const since = this.#since.get(id);
    if (since === undefined) return false;
    const age = this.#clock.now() - since;
    if (age >= 0 && age < UNKNOWN_MS) return true;
    this.#since.delete(id);
    return false;
  }

  delete(id: string): void {
    this.#since.delete(id);
  }

  clear(): void {
    this.#since.clear();
  }
}
