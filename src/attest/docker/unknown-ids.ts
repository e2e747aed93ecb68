/**
 * Caches ids for which the engine knows no container. Otherwise a caller whose cgroup name contains such an id would
 * cause a request to the engine with each attestation.
 */

import type { Clock } from '../../base/index.ts';

/** How long an id is cached, in milliseconds. An event about a new container with this id ends it earlier. */
export const UNKNOWN_MS = 1_000;
/** Maximum number of ids; the oldest is dropped first. */
const MAX_IDS = 1_000;

export class UnknownIds {
  readonly #clock: Clock;
  /** By id, the oldest first: the time of the engine's answer. */
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(id: string): void {
    this.#since.delete(id);
    if (this.#since.size >= MAX_IDS) this.#since.delete(this.#since.keys().next().value!);
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
