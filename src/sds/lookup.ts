/**
 * Looks up the secrets of one stream's names: at once where nothing has to be waited for, which a push to thousands of
 * streams depends on ([why](../../docs/decisions/push-without-waiting.md)), else later.
 */

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
}

/** What was found after waiting. */
export interface FoundLater extends Found {
  /** Names whose lookup failed, and the first error; either both are set or none. */
  readonly unanswered: readonly string[];
  readonly failure: unknown;
}

/** One name of a lookup that may wait; in the end either answer or failure is set. */
interface Result {
  readonly name: string;
  answer: Answer | undefined;
  failure: unknown;
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

  /**
   * Looks up the names without waiting; a later change marks a name dirty. Undefined if something must be issued or read
   * first, or if there are more names than SLICE_NAMES: then {@link findLater} finds them.
   */
  findNow(names: readonly string[]): Found | undefined {
    if (names.length > SLICE_NAMES) return undefined;
    const answers: Answer[] = [];
    for (const name of names) {
      const answer = this.#now(name);
      if (answer === undefined) return undefined;
      answers.push(answer);
    }
    return { names, answers };
  }

  /**
   * Looks up the names, and waits for what must be issued or read. A large lookup is split over the owner's turns, so that
   * it does not block the event loop; the names that are held are recorded as they are found.
   */
  async findLater(names: readonly string[]): Promise<FoundLater> {
    const { parts, stream, subscription } = this.#context;
    const results: Result[] = [];
    const waiting: Promise<void>[] = [];
    for (let at = 0; at < names.length && !this.#context.ended; at += SLICE_NAMES) {
      if (at > 0) await parts.turns.next(stream.peer.owner.accounts[0]);
      const held: HeldName[] = [];
      for (const name of names.slice(at, at + SLICE_NAMES)) {
        // The name may have been dropped meanwhile.
        if (subscription.get(name) === undefined) continue;
        const result: Result = { name, answer: this.#now(name), failure: undefined };
        results.push(result);
        if (result.answer === undefined) waiting.push(this.#issue(result));
        else if (isHeld(result.answer)) held.push({ name, held: result.answer });
      }
      if (names.length > SLICE_NAMES && held.length > 0) this.#held.hold(held, parts.clock.now());
    }
    if (waiting.length > 0) await stream.untilEnd(Promise.all(waiting));
    return this.#collect(results);
  }

  #now(text: string): Answer | undefined {
    const { parts, caller, names } = this.#context;
    const { name, respelled } = names.follow(text);
    return secretNow(parts.identities, caller, name, this.validation, respelled);
  }

  /** Does not reject. */
  async #issue(result: Result): Promise<void> {
    const { parts, caller, names } = this.#context;
    try {
      const { name, respelled } = names.follow(result.name);
      result.answer = await secretFor(parts.identities, caller, name, this.validation, respelled);
    } catch (error) {
      result.failure = error;
    }
  }

  #collect(results: readonly Result[]): FoundLater {
    const found = { names: [] as string[], answers: [] as Answer[], unanswered: [] as string[] };
    let failure: unknown;
    for (const { name, answer, failure: error } of results) {
      if (answer === undefined) {
        found.unanswered.push(name);
        failure ??= error;
      } else {
        found.names.push(name);
        found.answers.push(this.#latest(name, answer));
      }
    }
    return { ...found, failure };
  }

  /**
   * Looks up a name again if it changed during the lookup, so that one response has all names. If that would have to
   * wait, the name stays dirty for the next push.
   */
  #latest(name: string, answer: Answer): Answer {
    if (!this.#context.subscription.takeBack(name)) return answer;
    const latest = this.#now(name);
    if (latest === undefined) this.#context.lookAgain(name);
    return latest ?? answer;
  }
}
