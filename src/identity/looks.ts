/**
 * Attests connected callers again, within a budget: all callers that wait for a name in slow rounds, and sooner after
 * an event that may have changed facts. Owners (users and containers, see `limits/owner.ts`) take turns, so an owner
 * with many callers delays each other owner by one attestation only.
 */

import type { Clock, Deadline } from '../base/index.ts';
import type { SequenceNumbers } from './svids.ts';

/** A caller that can be attested again. */
export interface LookedAt {
  /** The name of its owner; owners take turns. */
  readonly owner: string;
  /** True if its last attestation began after this sequence number. */
  attestedAfter(sequence: number): boolean;
  /** Attests it again; never rejects. */
  look(): Promise<void>;
}

export interface LooksParts {
  readonly clock: Clock;
  readonly sequence: SequenceNumbers;
  /**
   * Increases when the passwd or group file is replaced. Checked every {@link OBSERVE_MS} while callers wait;
   * undefined: not checked.
   */
  readonly accountsRevision: (() => number) | undefined;
  /** From 0 to 1, exclusive. */
  readonly random: (() => number) | undefined;
}

/** Interval between two rounds of one owner, from end to start, in milliseconds; random between these two. */
export const ROUND_MIN_MS = 15_000;
export const ROUND_MAX_MS = 20_000;
/** Minimum interval between the starts of two attestations, all owners together, in milliseconds: 50 a second. */
export const LOOK_EVERY_MS = 20;
/** The same after an attestation of a slow round: 25 a second. */
export const SLOW_LOOK_EVERY_MS = 40;
/** The pause after an attestation, as a multiple of the time that it occupied the event loop. */
const PAUSE_FACTOR = 50;
/** Interval of checks of the passwd and group files, in milliseconds. */
export const OBSERVE_MS = 1_000;
/** Minimum interval between rounds that events start, in milliseconds. */
const OBSERVED_EVERY_MS = 1_000;

/** The callers of one owner. */
interface Group {
  readonly owner: string;
  /** Callers that wait, with the sequence number of their last attestation; the oldest first. */
  readonly waiting: Map<LookedAt, number>;
  /** Callers to attest once, before those that wait. */
  readonly once: Set<LookedAt>;
  /** Callers whose last attestation began before this sequence number are due. */
  round: number;
  /** An event started the round. */
  observed: boolean;
  nextRound: Deadline | undefined;
  looking: boolean;
}

export class Looks {
  readonly #parts: LooksParts;
  readonly #groups = new Map<string, Group>();
  /** Groups with callers that are due; the next first. */
  readonly #ready = new Set<Group>();
  #waiting = 0;
  /** Set while the budget allows no attestation. */
  #pause: Deadline | undefined;
  #observing: Deadline | undefined;
  #revision = 0;
  /** The sequence number of the last event. */
  #observedAt = 0;
  #observedPause: Deadline | undefined;
  #observedMeanwhile = false;
  #closed = false;

  constructor(parts: LooksParts) {
    this.#parts = parts;
  }

  /** Includes this caller in each round. It must have been attested already. */
  add(caller: LookedAt): void {
    if (this.#closed) return;
    const group = this.#groupOf(caller.owner);
    if (group.waiting.has(caller)) return;
    group.waiting.set(caller, this.#parts.sequence.next());
    // Its attestation may have begun just before the event.
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

  /** Attests this caller once, as soon as the budget allows. */
  once(caller: LookedAt): void {
    if (this.#closed) return;
    const group = this.#groupOf(caller.owner);
    group.once.add(caller);
    this.#settle(group);
    this.#next();
  }

  /** Removes a caller whose connection has ended. */
  forget(caller: LookedAt): void {
    this.#groups.get(caller.owner)?.once.delete(caller);
    this.remove(caller);
  }

  /** Call it after an event that may have changed facts: a round for all callers that wait begins within a second. */
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

  /** Moves the group to its place: into the queue, asleep until its next round, or out of both if it is empty. */
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

  /** The group's next caller that is due. */
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

  /** Attests the next caller of the next owner, if the budget allows. */
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

  /** Each owner has one attestation running at a time, so a slow one delays only its own owner's callers. */
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
