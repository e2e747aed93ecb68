/**
 * A stream that holds an SVID outlives a failing attestor: what could not be answered is asked again when an attestation
 * of its caller has worked, and for the last time when the SVID ends.
 */

import type { Deadline } from '../base/clock.ts';
import type { StreamContext } from './stream-context.ts';

export class AttestationRetry {
  readonly #context: StreamContext;
  readonly #unanswered = new Set<string>();
  #lastChance: Deadline | undefined;
  #stopRecovery: (() => void) | undefined;

  constructor(context: StreamContext) {
    this.#context = context;
  }

  /** Names that a failing attestor leaves without an answer. */
  leave(names: readonly string[]): void {
    for (const name of names) this.#unanswered.add(name);
  }

  /** @param until the SVID's end, in milliseconds since the epoch */
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
