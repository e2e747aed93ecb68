/**
 * Keeps a stream open while attestation fails, if its client has a valid SVID: the stream tries again when an attestation
 * of the caller succeeds, and a last time when the SVID expires.
 */

import type { Clock, Deadline } from '../base/index.ts';
import type { Caller } from '../identity/index.ts';

export class AttestationRetry {
  readonly #caller: Caller;
  readonly #clock: Clock;
  readonly #again: () => void;
  #lastChance: Deadline | undefined;
  #stopRecovery: (() => void) | undefined;

  constructor(caller: Caller, clock: Clock, again: () => void) {
    this.#caller = caller;
    this.#clock = clock;
    this.#again = again;
  }

  /** @param until when the SVID expires, in milliseconds since the epoch */
  wait(until: number): void {
    const again = () => {
      this.cancel();
      this.#again();
    };
    this.#stopRecovery ??= this.#caller.watchRecovery(again);
    this.#lastChance ??= this.#clock.at(until, again);
  }

  cancel(): void {
    this.#lastChance?.cancel();
    this.#lastChance = undefined;
    this.#stopRecovery?.();
    this.#stopRecovery = undefined;
  }
}
