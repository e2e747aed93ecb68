/**
 * Looks up the secrets of one stream's names: at once where nothing has to be waited for, which a push to thousands of
 * streams depends on ([why](../../docs/decisions/push-without-waiting.md)), else later.
 */

import type { Held } from '../identity/index.ts';
import type { HeldName, HeldNames } from './held-names.ts';
import { entryBehind, isHeld, secretFor, secretNow } from './names.ts';
import { bundleSecret, type EncodedSecret, type ValidationForm } from './secrets.ts';
import type { StreamContext } from './stream-context.ts';

/** A secret, or the reason why its name is held. */
export type LookupResult = EncodedSecret | Held;

/** The names that were looked up and their answers, in the same order. */
export interface Found {
  readonly names: readonly string[];
  readonly answers: readonly LookupResult[];
}

/** What was found after waiting. */
export interface FoundLater extends Found {
  /** Names whose lookup failed, and the first error; either both are set or none. */
  readonly unanswered: readonly string[];
  readonly failure: unknown;
}

/** One name of a lookup. When the lookup has ended, `answer` or `failure` is set, or `isLate`. */
interface Result {
  readonly name: string;
  answer: LookupResult | undefined;
  failure: unknown;
  /** The lookup ended before this name did: the name is looked up again when its SVID is there. */
  isLate: boolean;
}

/** Larger lookups are split: this many names in each of the owner's turns. */
const SLICE_NAMES = 256;
/**
 * One response has all names that can be issued, but waits no longer than this for SVIDs whose keys are slow to make,
 * in
 * milliseconds: many of them must not delay the others.
 */
const SLOW_MS = 250;

export class SecretLookup {
  readonly #context: StreamContext;
  readonly #held: HeldNames;
  /** The form of validation contexts. */
  validation: ValidationForm;

  constructor(context: StreamContext, held: HeldNames) {
    this.#context = context;
    this.#held = held;
    this.validation = context.parts.validation;
  }

  /**
   * Looks up the names without waiting; a later change marks a name dirty. Undefined if something must be issued or
   * read
   * first, or if there are more names than SLICE_NAMES: then {@link findLater} finds them.
   */
  findNow(names: readonly string[]): Found | undefined {
    if (names.length > SLICE_NAMES) return undefined;
    const answers: LookupResult[] = [];
    for (const name of names) {
      const answer = this.#now(name);
      if (answer === undefined) return undefined;
      answers.push(answer);
    }
    return { names, answers };
  }

  /**
   * Looks up the names, and waits for what must be issued or read. SVIDs whose keys take longer than SLOW_MS become
   * dirty
   * when they are there. A large lookup is split over the owner's turns, so that
   * it does not block the event loop; the names that are held are recorded as they are found.
   */
  async findLater(names: readonly string[]): Promise<FoundLater> {
    const { parts, stream, subscription } = this.#context;
    const results: Result[] = [];
    const waiting: Promise<void>[] = [];
    const slow: Promise<void>[] = [];
    for (let at = 0; at < names.length && !this.#context.ended; at += SLICE_NAMES) {
      if (at > 0) await parts.turns.next(stream.peer.owner.accounts[0]);
      const held: HeldName[] = [];
      for (const name of names.slice(at, at + SLICE_NAMES)) {
        // The name may have been dropped meanwhile.
        if (subscription.get(name) === undefined) continue;
        const result: Result = { name, answer: this.#now(name), failure: undefined, isLate: false };
        results.push(result);
        if (result.answer === undefined) (this.#isSlow(name) ? slow : waiting).push(this.#issue(result));
        else if (isHeld(result.answer)) held.push({ name, held: result.answer });
      }
      if (names.length > SLICE_NAMES && held.length > 0) this.#held.hold(held, parts.clock.now());
    }
    if (waiting.length + slow.length > 0) await stream.untilEnd(this.#wait(waiting, slow));
    return this.#collect(results);
  }

  async #wait(waiting: readonly Promise<void>[], slow: readonly Promise<void>[]): Promise<void> {
    if (slow.length === 0) {
      await Promise.all(waiting);
      return;
    }
    const late = Promise.withResolvers<void>();
    const deadline = this.#context.parts.clock.after(SLOW_MS, () => late.resolve());
    await Promise.all([...waiting, Promise.race([Promise.all(slow), late.promise])]);
    deadline.cancel();
  }

  #isSlow(text: string): boolean {
    const { parts, caller, names } = this.#context;
    const entry = entryBehind(parts.identities, caller, names.follow(text).name);
    return entry !== undefined && parts.identities.isSlow(entry);
  }

  #now(text: string): LookupResult | undefined {
    const { parts, caller, names } = this.#context;
    const { name, respelled } = names.follow(text);
    return secretNow(parts.identities, caller, name, this.validation, respelled);
  }

  /** The secret that takes a bundle's trust away; undefined until it is made. */
  withdrawn(text: string): EncodedSecret | undefined {
    const { parts, names } = this.#context;
    const { name, respelled } = names.follow(text);
    const bundle = parts.nobody?.bundle;
    return bundle && bundleSecret(name.name, [bundle], this.validation, respelled);
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
    if (result.isLate) this.#context.lookAgain(result.name);
  }

  #collect(results: readonly Result[]): FoundLater {
    const found = { names: [] as string[], answers: [] as LookupResult[], unanswered: [] as string[] };
    let failure: unknown;
    for (const result of results) {
      const { name, answer, failure: error } = result;
      if (answer === undefined && error === undefined) result.isLate = true;
      else if (answer === undefined) {
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
  #latest(name: string, answer: LookupResult): LookupResult {
    if (!this.#context.subscription.takeBack(name)) return answer;
    const latest = this.#now(name);
    if (latest === undefined) this.#context.lookAgain(name);
    return latest ?? answer;
  }
}
