/**
 * Keeps a stream open while attestation fails, if its client has a valid SVID. Names without an answer are looked up
 * again when an attestation of the caller succeeds, and a last time when the SVID expires.
 */

import type { Deadline } from '../base/index.ts';
import type { StreamContext } from './stream-context.ts';

export class AttestationRetry {
  readonly #context: StreamContext;
  readonly #unanswered = new Set<string>();
  #lastChance: Deadline | undefined;
  #stopRecovery: (() => void) | undefined;

  constructor(context: StreamContext) {
    this.#context = context;
  }

  /** Notes names whose lookup failed with the attestation. */
  leave(names: readonly string[]): void {
    for (const name of names) this.#unanswered.add(name);
  }

  /** @param until when the SVID expires, in milliseconds since the epoch */
  wait(until: number): void {
    this.#stopRecovery ??= this.#context.caller.watchRecovery(() => this.#tryAgain());
    this.#lastChance ??= this.#context.parts.clock.at(until, () => this.#tryAgain());
  }

  cancel(): void {
    this.#lastChance?.cancel();
    this.#lastChance = undefined;
    this.#stopRecovery?.();
    this.#stopRecovery = undefined;
  }

  #tryAgain(): void {
    this.cancel();
    for (const name of this.#unanswered) this.#context.lookAgain(name);
    this.#unanswered.clear();
    this.#context.pushSoon();
  }
}
