/**
 * Reads the facts of connected callers again, within a budget: of every caller that waits for a name, slowly and in
 * rounds, and sooner after something was observed that may have changed facts. Owners (users and containers, see
 * `limits/owner.ts`) take turns, so that one owner's callers, however many, delay those of others by one look each.
 */

import type { Clock, Deadline } from '../base/clock.ts';
import type { SequenceNumbers } from './svids.ts';

/** A caller that can be looked at again. */
export interface LookedAt {
  /** The name of its owner, whose turn its looks take. */
  readonly owner: string;
  /** True if its facts were read after this point of the sequence. */
  attestedAfter(sequence: number): boolean;
  /** Reads its facts anew; never rejects. */
  look(): Promise<void>;
}

export interface LooksParts {
  readonly clock: Clock;
  readonly sequence: SequenceNumbers;
  /**
   * Rises whenever the passwd or group file was found to be another one. Asked every {@link OBSERVE_MS} while callers
   * wait; undefined: nothing is observed.
   */
  readonly accountsRevision: (() => number) | undefined;
  /** From 0 to 1, exclusive. */
  readonly random: (() => number) | undefined;
}

/** The time from the end of an owner's round to the next one, in milliseconds: jittered between these two. */
export const ROUND_MIN_MS = 15_000;
export const ROUND_MAX_MS = 20_000;
/** From the beginning of a look to the next one, in milliseconds, of all owners together: 50 a second at most. */
export const LOOK_EVERY_MS = 20;
/** The same after a look that nothing but the slow rounds asked for: 25 a second at most. */
export const SLOW_LOOK_EVERY_MS = 40;
/** The pause after a look, as a multiple of the time that the look kept the event loop busy. */
const PAUSE_FACTOR = 50;
/** How often the passwd and group files are looked at, in milliseconds. */
export const OBSERVE_MS = 1_000;
/** Rounds because of something observed begin so long after each other, at least, in milliseconds. */
const OBSERVED_EVERY_MS = 1_000;

/** The callers of one owner. */
interface Group {
  readonly owner: string;
  /** Callers that wait, and the point of the sequence at which each was last looked at; the longest ago first. */
  readonly waiting: Map<LookedAt, number>;
  /** Callers to be looked at once, before those that wait. */
  readonly once: Set<LookedAt>;
  /** Callers that were last looked at before this point are due. */
  round: number;
  /** The round began because something was observed. */
  observed: boolean;
  nextRound: Deadline | undefined;
  looking: boolean;
}

export class Looks {
  readonly #parts: LooksParts;
  readonly #groups = new Map<string, Group>();
  /** Groups whose turn may come, the next first. */
  readonly #ready = new Set<Group>();
  #waiting = 0;
  /** Set while the budget allows no look. */
  #pause: Deadline | undefined;
  #observing: Deadline | undefined;
  #revision = 0;
  /** The point of the sequence at which something was observed last. */
  #observedAt = 0;
  #observedPause: Deadline | undefined;
  #observedMeanwhile = false;
  #closed = false;

  constructor(parts: LooksParts) {
    this.#parts = parts;
  }

  /** Looks at this caller in each round from now on; it was attested just now. */
  add(caller: LookedAt): void {
    if (this.#closed) return;
    const group = this.#groupOf(caller.owner);
    if (group.waiting.has(caller)) return;
    group.waiting.set(caller, this.#parts.sequence.next());
    // Its facts may have been read just before something was observed.
    if (!caller.attestedAfter(this.#observedAt)) group.once.add(caller);
    this.#waiting += 1;
    this.#observe();
    this.#settle(group);
    this.#next();
  }

  /** Ends what {@link add} began. */
  remove(caller: LookedAt): void {
    const group = this.#groups.get(caller.owner);
    if (group?.waiting.delete(caller) !== true) return;
    this.#waiting -= 1;
    this.#settle(group);
  }

  /** Looks at this caller once, as soon as the budget allows. */
  once(caller: LookedAt): void {
    if (this.#closed) return;
    const group = this.#groupOf(caller.owner);
    group.once.add(caller);
    this.#settle(group);
    this.#next();
  }

  /** The caller has left. */
  forget(caller: LookedAt): void {
    this.#groups.get(caller.owner)?.once.delete(caller);
    this.remove(caller);
  }

  /** Something happened that may have changed facts: a round for every caller that waits begins now, or within a second. */
  observed(): void {
    if (this.#closed) return;
    if (this.#observedPause !== undefined) {
      this.#observedMeanwhile = true;
      return;
    }
    this.#observedAt = this.#parts.sequence.next();
    for (const group of [...this.#groups.values()]) this.#beginRound(group, true);
    this.#observedPause = this.#parts.clock.after(OBSERVED_EVERY_MS, () => {
      this.#observedPause = undefined;
      if (!this.#observedMeanwhile) return;
      this.#observedMeanwhile = false;
      this.observed();
    });
  }

  close(): void {
    this.#closed = true;
    for (const group of this.#groups.values()) group.nextRound?.cancel();
    this.#groups.clear();
    this.#ready.clear();
    this.#pause?.cancel();
    this.#observing?.cancel();
    this.#observedPause?.cancel();
  }

  #groupOf(owner: string): Group {
    let group = this.#groups.get(owner);
    if (group === undefined) {
      const none = { waiting: new Map(), once: new Set<LookedAt>(), round: 0, nextRound: undefined };
      group = { owner, ...none, observed: false, looking: false };
      this.#groups.set(owner, group);
    }
    return group;
  }

  #observe(): void {
    const { clock, accountsRevision } = this.#parts;
    if (accountsRevision === undefined || this.#observing !== undefined) return;
    this.#observing = clock.after(OBSERVE_MS, () => {
      this.#observing = undefined;
      if (this.#waiting === 0) return;
      const revision = accountsRevision();
      const isNew = revision !== this.#revision;
      this.#revision = revision;
      this.#observe();
      if (isNew) this.observed();
    });
  }

  #beginRound(group: Group, observed: boolean): void {
    group.nextRound?.cancel();
    group.nextRound = undefined;
    group.observed = observed;
    group.round = this.#parts.sequence.next();
    this.#settle(group);
    this.#next();
  }

  /** Puts the group where it belongs: in the queue, asleep until its next round, or away. */
  #settle(group: Group): void {
    if (group.looking) return;
    if (this.#due(group) !== undefined) {
      this.#ready.add(group);
      return;
    }
    this.#ready.delete(group);
    if (group.waiting.size === 0) {
      group.nextRound?.cancel();
      this.#groups.delete(group.owner);
      return;
    }
    group.nextRound ??= this.#parts.clock.after(this.#untilNextRound(), () => this.#beginRound(group, false));
  }

  #untilNextRound(): number {
    const { random = Math.random } = this.#parts;
    return ROUND_MIN_MS + random() * (ROUND_MAX_MS - ROUND_MIN_MS);
  }

  /** The caller whose turn it is in the group. */
  #due(group: Group): LookedAt | undefined {
    for (const caller of group.once) return caller;
    for (const [caller, looked] of group.waiting) {
      if (looked >= group.round) return undefined;
      if (!caller.attestedAfter(group.round)) return caller;
      // It was attested meanwhile for another reason.
      this.#lookedAt(group, caller);
    }
    return undefined;
  }

  #lookedAt(group: Group, caller: LookedAt): void {
    group.once.delete(caller);
    if (!group.waiting.delete(caller)) return;
    group.waiting.set(caller, this.#parts.sequence.next());
  }

  /** Looks at the next caller of the next owner, if the budget allows. */
  #next(): void {
    if (this.#pause !== undefined || this.#closed) return;
    for (const group of this.#ready) {
      this.#ready.delete(group);
      const caller = this.#due(group);
      if (caller === undefined) {
        this.#settle(group);
        continue;
      }
      const begun = performance.now();
      const atLeast = group.observed || group.once.has(caller) ? LOOK_EVERY_MS : SLOW_LOOK_EVERY_MS;
      this.#lookAt(group, caller);
      const pause = Math.max(atLeast, PAUSE_FACTOR * (performance.now() - begun));
      this.#pause = this.#parts.clock.after(pause, () => {
        this.#pause = undefined;
        this.#next();
      });
      return;
    }
  }

  /** One look of each owner is under way at a time: a caller whose facts take long to read delays only its own owner's. */
  #lookAt(group: Group, caller: LookedAt): void {
    group.looking = true;
    this.#lookedAt(group, caller);
    void caller.look().then(() => {
      group.looking = false;
      if (this.#closed) return;
      this.#settle(group);
      this.#next();
    });
  }
}
