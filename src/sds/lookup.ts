/** Looks up the secrets of one stream's names. */

import type { Held } from '../identity/held.ts';
import type { HeldName, HeldNames } from './held-names.ts';
import { isHeld, secretFor, secretNow } from './names.ts';
import type { EncodedSecret, Validation } from './secrets.ts';
import type { StreamContext } from './stream-context.ts';

/** A secret, or the reason why its name is held. */
export type Answer = EncodedSecret | Held;

/** The names that were looked up and their answers, in the same order. */
export interface Found {
  readonly names: readonly string[];
  readonly answers: readonly Answer[];
  /** Names whose lookup failed, and the first error; either both are set or none. */
  readonly unanswered: readonly string[];
  readonly failure: unknown;
}

/** Larger lookups are split: this many names in each of the owner's turns. */
const SLICE_NAMES = 256;

export class SecretLookup {
  readonly #context: StreamContext;
  readonly #held: HeldNames;
  /** The form of validation contexts. */
  validation: Validation;

  constructor(context: StreamContext, held: HeldNames) {
    this.#context = context;
    this.#held = held;
    this.validation = context.parts.validation;
  }

  /** Returns a promise only if something must be issued or read first, or if there are more names than SLICE_NAMES. */
  find(names: readonly string[]): Found | Promise<Found> {
    if (names.length > SLICE_NAMES) return this.#inSlices(names);
    const answers = names.map((name) => this.#ask(name));
    if (answers.every((answer): answer is Answer => !(answer instanceof Promise))) {
      return { names, answers, unanswered: [], failure: undefined };
    }
    return this.#settle(names, answers);
  }

  /** Splits a large lookup over the owner's turns, so that it does not block the event loop. */
  async #inSlices(names: readonly string[]): Promise<Found> {
    const asked: string[] = [];
    const answers: (Answer | Promise<Answer>)[] = [];
    for (let at = 0; at < names.length && !this.#context.ended; at += SLICE_NAMES) {
      const held: HeldName[] = [];
      for (const name of names.slice(at, at + SLICE_NAMES)) {
        // The name may have been dropped meanwhile.
        if (this.#context.subscription.get(name) === undefined) continue;
        const answer = this.#ask(name);
        // #settle handles the rejection later; until then it must not count as unhandled.
        if (answer instanceof Promise) answer.catch(() => undefined);
        else if (isHeld(answer)) held.push({ name, held: answer });
        asked.push(name);
        answers.push(answer);
      }
      if (held.length > 0) this.#held.hold(held, this.#context.parts.clock.now());
      await this.#context.parts.turns.next(this.#context.stream.peer.owner.accounts[0]);
    }
    return this.#settle(asked, answers);
  }

  /** The secret of a name; a later change marks the name dirty. */
  #ask(text: string): Answer | Promise<Answer> {
    const { parts, caller, names } = this.#context;
    const { name, respelled } = names.follow(text);
    return secretFor(parts.identities, caller, name, this.validation, respelled);
  }

  async #settle(names: readonly string[], answers: readonly (Answer | Promise<Answer>)[]): Promise<Found> {
    const found = { names: [] as string[], answers: [] as Answer[], unanswered: [] as string[] };
    let failure: unknown;
    const waiting = answers.filter((answer) => answer instanceof Promise);
    const settled = (await Promise.allSettled(waiting)).values();
    for (const [i, answer] of answers.entries()) {
      const name = names[i]!;
      const result =
        answer instanceof Promise ? settled.next().value! : { status: 'fulfilled' as const, value: answer };
      if (result.status === 'fulfilled') {
        found.names.push(name);
        found.answers.push(this.#latest(name, result.value));
      } else {
        found.unanswered.push(name);
        failure ??= result.reason;
      }
    }
    return { ...found, failure };
  }

  /**
   * Looks up a name again if it changed during the lookup, so that one response has all names. If that would have to
   * wait, the name stays dirty for the next push.
   */
  #latest(text: string, answer: Answer): Answer {
    const { parts, caller, subscription, names } = this.#context;
    if (!subscription.takeBack(text)) return answer;
    const { name, respelled } = names.follow(text);
    const latest = secretNow(parts.identities, caller, name, this.validation, respelled);
    if (latest === undefined) this.#context.lookAgain(text);
    return latest ?? answer;
  }
}
