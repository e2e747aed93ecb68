/** Looks for the secrets behind one stream's names. */

import type { Held } from '../identity/held.ts';
import type { HeldName, HeldNames } from './held-names.ts';
import { isHeld, secretFor, secretNow } from './names.ts';
import type { EncodedSecret, Validation } from './secrets.ts';
import type { StreamContext } from './stream-context.ts';

/** A secret, or why there is none. */
export type Answer = EncodedSecret | Held;

/** What was found behind which names, in the same order. */
export interface Found {
  readonly names: readonly string[];
  readonly answers: readonly Answer[];
  /** Names that stay without an answer, and the first reason; there is none without the other. */
  readonly unanswered: readonly string[];
  readonly failure: unknown;
}

/** Of more names than these, some are looked for in each of the owner's turns. */
const SLICE_NAMES = 256;

export class SecretLookup {
  readonly #context: StreamContext;
  readonly #held: HeldNames;
  /** How validation contexts check. */
  validation: Validation;

  constructor(context: StreamContext, held: HeldNames) {
    this.#context = context;
    this.#held = held;
    this.validation = context.parts.validation;
  }

  /** A promise only where something must be issued or read first, or the names are very many. */
  find(names: readonly string[]): Found | Promise<Found> {
    if (names.length > SLICE_NAMES) return this.#inSlices(names);
    const answers = names.map((name) => this.#ask(name));
    if (answers.every((answer): answer is Answer => !(answer instanceof Promise))) {
      return { names, answers, unanswered: [], failure: undefined };
    }
    return this.#settle(names, answers);
  }

  /** Some of the names in each of the owner's turns: all at once would keep the event loop for long. */
  async #inSlices(names: readonly string[]): Promise<Found> {
    const asked: string[] = [];
    const answers: (Answer | Promise<Answer>)[] = [];
    for (let at = 0; at < names.length && !this.#context.ended; at += SLICE_NAMES) {
      const held: HeldName[] = [];
      for (const name of names.slice(at, at + SLICE_NAMES)) {
        // It may have been dropped meanwhile.
        if (this.#context.subscription.get(name) === undefined) continue;
        const answer = this.#ask(name);
        // Looked at when all are there; until then nobody else handles it.
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

  /** The secret behind a name, whose next change will be told. */
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

  /** What changed while it was looked for is looked at again, so that the answer has all of its names; or comes later. */
  #latest(text: string, answer: Answer): Answer {
    const { parts, caller, subscription, names } = this.#context;
    if (!subscription.takeBack(text)) return answer;
    const { name, respelled } = names.follow(text);
    const latest = secretNow(parts.identities, caller, name, this.validation, respelled);
    if (latest === undefined) this.#context.lookAgain(text);
    return latest ?? answer;
  }
}
