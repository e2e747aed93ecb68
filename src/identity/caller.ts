/** The state of one caller: its facts, the entries that it matches now, and the listeners for changes. */

import { ATTESTORS, type Attestation, type Peer, redactSelector } from '../attest/index.ts';
import { backoffApart, type Clock, type Deadline, KeyedListeners, SidekeyError, tellEach } from '../base/index.ts';
import { compareAge, type Entry, type EntryChange } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import { type Log, ownedLog } from '../telemetry/index.ts';
import { type CallerClass, type CallerClasses, type ClassMember, difference, unreadOf } from './classes.ts';
import { type Grant, keyOf } from './grant.ts';
import { describeLapse, type Lapse, Lapses } from './lapses.ts';
import type { LookedAt, Looks } from './looks.ts';
import type { RenderedFacts, Unrendered } from './renderings.ts';
import type { SequenceNumbers } from './svids.ts';

type CallerListener = () => void;

const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 15_000;
/** Minimum interval between two warnings about one caller's missing facts, in milliseconds. */
const WARN_EVERY_MS = 60_000;
/** Sent SVIDs that have ended are dropped from the record when it exceeds twice the number of entries by this many. */
const SPARE_GIVEN = 16;
/** Maximum number of entries named in one log line. */
const LOGGED = 10;
const NO_SELECTORS: ReadonlySet<string> = new Set();

interface Attesting {
  readonly sequence: number;
  readonly done: Promise<void>;
  /** The attestation failed while a stream waited for it, and a retry is scheduled. */
  refused: boolean;
}

export interface CallerParts {
  readonly classes: CallerClasses;
  readonly sequence: SequenceNumbers;
  readonly clock: Clock;
  readonly log: Log;
  readonly looks: Looks;
  /** The callers that have lapses; they need the registry's changes. */
  readonly lapsing: Set<Caller>;
}

const NO_FACTS: RenderedFacts = { values: new Map(), contained: undefined };

export class Caller implements ClassMember, LookedAt {
  readonly peer: Peer;
  readonly #parts: CallerParts;
  readonly #ofIdentity = new KeyedListeners<SpiffeId>();
  readonly #ofEntries = new Set<CallerListener>();
  #ofRecovery: Set<CallerListener> | undefined;
  #ofFacts: Set<CallerListener> | undefined;
  #class: CallerClass | undefined;
  /** The sequence number at which the last successful attestation began. */
  #attested = 0;
  #attesting: Attesting | undefined;
  #retry: Deadline | undefined;
  #failures = 0;
  /** Number of names on this caller's streams that wait for an entry to match. */
  #waiting = 0;
  /** By the key of the grant: the end of the last SVID sent to this caller, in milliseconds since the epoch. */
  readonly #given = new Map<string, number>();
  #lapses: Lapses | undefined;
  /** Cache of {@link entries} while there are lapses; undefined: rebuild it. */
  #merged: readonly Grant[] | undefined;
  #lapseEnd: Deadline | undefined;
  #lapseRetry: Deadline | undefined;
  #lapseLooks = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(peer: Peer, parts: CallerParts) {
    this.peer = peer;
    this.#parts = parts;
  }

  get owner(): string {
    return this.peer.owner.name;
  }

  /**
   * The matching entries and the lapsing ones (see {@link lapseOf}), oldest first. Empty before the first attestation.
   */
  get entries(): readonly Grant[] {
    const matching = this.#class?.entries ?? [];
    if (this.#lapses === undefined) return matching;
    this.#merged ??= [...matching, ...Array.from(this.#lapses.values(), ({ entry }) => entry)].sort(compareAge);
    return this.#merged;
  }

  /** Entries whose selectors match, but which the caller does not get because it is in a container. */
  get withheld(): readonly Entry[] {
    return this.#class?.withheld ?? [];
  }

  /** Entries whose selectors match, but whose templates are not rendered for this caller. */
  get unrendered(): readonly Unrendered[] {
    return this.#class?.unrendered ?? [];
  }

  /** Why the last attestation found the caller to be in a container; undefined if it did not. */
  get contained(): string | undefined {
    return this.#class?.attestation.contained;
  }

  /** The selectors of the last attestation. */
  get selectors(): ReadonlySet<string> {
    return this.#class?.attestation.keys ?? NO_SELECTORS;
  }

  /** What templates are rendered from. */
  get renderedFacts(): RenderedFacts {
    return this.#class?.attestation ?? NO_FACTS;
  }

  /** The same for display: without values of environment selectors. */
  get shownSelectors(): readonly string[] {
    return this.#class?.shownSelectors ?? [];
  }

  /**
   * The same, with similar facts that attestors remember because entries ask for other values. Decision records use it.
   */
  get recordedSelectors(): readonly string[] {
    const alike = ATTESTORS.flatMap(({ type }) => this.peer.known(type)?.alike ?? []);
    return [...this.shownSelectors, ...alike.map(redactSelector)];
  }

  /** The oldest matching entry that gives this SPIFFE ID, else one that lapses. */
  entryFor(spiffeId: SpiffeId): Grant | undefined {
    const matching = this.#class?.entryFor(spiffeId);
    if (matching !== undefined || this.#lapses === undefined) return matching;
    return this.entries.find((entry) => entry.spiffeId === spiffeId);
  }

  /** True if the caller matches this version of the entry now; false for an entry that lapses. */
  holds(entry: Entry): boolean {
    return this.#class?.has(entry) ?? false;
  }

  /**
   * The lapse of an entry: the latest facts lack one of its selectors, but an SVID of it that the caller has is still
   * valid. The caller gets no new SVID of the entry, and loses the entry when that SVID ends.
   */
  lapseOf(entry: Grant): Lapse | undefined {
    return this.#lapses?.of(entry);
  }

  get lapses(): readonly Lapse[] {
    return this.#lapses === undefined ? [] : [...this.#lapses.values()];
  }

  /**
   * Records that a stream has sent an SVID of the grant with this key, which ends at `notAfter` (milliseconds since the
   * epoch).
   */
  given(key: string, notAfter: number): void {
    this.#given.set(key, Math.max(notAfter, this.#given.get(key) ?? 0));
    if (this.#given.size <= 2 * this.entries.length + SPARE_GIVEN) return;
    const now = this.#parts.clock.now();
    for (const [one, until] of this.#given) if (until <= now) this.#given.delete(one);
  }

  /** True while a name on one of this caller's streams waits for an entry to match. */
  get waiting(): boolean {
    return this.#waiting > 0;
  }

  /** Counts one more (1) or one less (-1) name that waits for an entry to match. */
  waits(change: 1 | -1): void {
    this.#waiting += change;
    if (this.peer.gone) return;
    if (this.#waiting === 1 && change === 1) this.#parts.looks.add(this);
    else if (this.#waiting === 0) this.#parts.looks.remove(this);
  }

  /** True if the last attestation began after this sequence number. */
  attestedAfter(sequence: number): boolean {
    return this.#attested > sequence;
  }

  /**
   * Attests the caller again unless its last attestation began after this sequence number.
   * @throws what {@link Peer.attest} throws; a failed attestor is retried in the background
   */
  async attestAfter(sequence: number): Promise<void> {
    while (!this.attestedAfter(sequence)) {
      const reading = this.#reading(sequence);
      try {
        await reading.done;
      } catch (error) {
        if (!reading.refused) this.#refuse(error as SidekeyError);
        reading.refused = true;
        throw error;
      }
    }
  }

  /** Attests the caller again. @throws as {@link attestAfter} */
  reattest(): Promise<void> {
    return this.attestAfter(this.#attested);
  }

  /** Attests the caller again if it was attested before; listeners learn of changes. A failure changes nothing. */
  async look(): Promise<void> {
    if (this.peer.gone || (!this.attested && this.#attesting === undefined)) return;
    const sequence = this.#parts.sequence.next();
    try {
      while (!this.attestedAfter(sequence)) await this.#reading(sequence).done;
    } catch (err) {
      this.#parts.log.debug({ err, peer: this.peer.id }, "reading a caller's facts again failed; the former ones stay");
      if (!this.peer.gone) this.#awaitFacts();
    }
  }

  lookSoon(): void {
    if (!this.peer.gone) this.#parts.looks.once(this);
  }

  /** The running attestation if it began after this sequence number, else a new one. */
  #reading(sequence: number): Attesting {
    if (this.#attesting === undefined || this.#attesting.sequence <= sequence) this.#attesting = this.#attest();
    return this.#attesting;
  }

  /** True while an attestation of the caller runs. */
  get attesting(): boolean {
    return this.#attesting !== undefined;
  }

  /** True once the caller was attested. */
  get attested(): boolean {
    return this.#attested > 0;
  }

  /**
   * Calls the listener when another entry gives this SPIFFE ID to the caller, or none any more.
   * @returns a function that removes it
   */
  watchIdentity(spiffeId: SpiffeId, listener: CallerListener): () => void {
    return this.#ofIdentity.add(spiffeId, listener);
  }

  /** Calls the listener when the set of matching entries changes. @returns a function that removes it */
  watchEntries(listener: CallerListener): () => void {
    this.#ofEntries.add(listener);
    return () => this.#ofEntries.delete(listener);
  }

  /** Calls the listener when an attestation has found other facts than the one before. @returns a function that removes it */
  watchFacts(listener: CallerListener): () => void {
    this.#ofFacts ??= new Set();
    this.#ofFacts.add(listener);
    return () => this.#ofFacts?.delete(listener);
  }

  /** Calls the listener when an attestation succeeds after a failure. @returns a function that removes it */
  watchRecovery(listener: CallerListener): () => void {
    this.#ofRecovery ??= new Set();
    this.#ofRecovery.add(listener);
    return () => this.#ofRecovery?.delete(listener);
  }

  entriesChanged(changed: ReadonlySet<Entry>): void {
    this.#merged = undefined;
    const told = new Set<CallerListener>(this.#ofEntries);
    for (const { spiffeId } of changed) {
      // Templates are not watched.
      for (const listener of this.#ofIdentity.of(spiffeId as SpiffeId)) told.add(listener);
    }
    tellEach(told, undefined, (err) =>
      this.#parts.log.error({ err }, "a listener for a caller's entries threw an error"),
    );
  }

  /** Applies the registry's changes to the lapses. Call it after the caller's class has applied them. */
  registryChanged(changes: readonly EntryChange[]): void {
    const ended = new Set<Entry>();
    for (const { before, after } of changes) {
      for (const lapsed of this.#lapses?.entryChanged((after ?? before)!.id, after) ?? []) ended.add(lapsed);
    }
    if (ended.size === 0) return;
    this.#followLapses();
    this.entriesChanged(ended);
  }

  /** Removes the caller for good, when its connection has ended. */
  leave(): void {
    this.#parts.looks.forget(this);
    this.#lapses = undefined;
    this.#followLapses();
    this.#given.clear();
    this.#retry?.cancel();
    if (this.#class !== undefined) this.#parts.classes.leave(this, this.#class);
    this.#class = undefined;
    this.#ofIdentity.clear();
    this.#ofEntries.clear();
    this.#ofFacts = undefined;
    this.#ofRecovery = undefined;
  }

  #attest(): Attesting {
    const sequence = this.#parts.sequence.next();
    // Peer shares a running attestation, but that one may have begun too early.
    const former = this.#attesting?.done.catch(() => undefined);
    const reading = (former === undefined ? this.peer.attest() : former.then(() => this.peer.attest())).then(
      (attestation) => this.#accept(attestation, sequence),
      (error: unknown) => {
        throw SidekeyError.from(error, 'ERR_ATTESTATION_FAILED');
      },
    );
    const attesting: Attesting = {
      sequence,
      refused: false,
      done: reading.finally(() => {
        if (this.#attesting === attesting) this.#attesting = undefined;
      }),
    };
    return attesting;
  }

  #accept(attestation: Attestation, sequence: number): void {
    if (this.peer.gone) throw new SidekeyError('ERR_PEER_GONE', 'the calling process has ended');
    const recovered = this.#failures > 0;
    this.#failures = 0;
    this.#retry?.cancel();
    this.#attested = sequence;
    const former = this.#class;
    this.#class = this.#parts.classes.move(this, attestation, former);
    if (this.#class !== former) this.#tellFacts(attestation, former);
    if (this.#lapses !== undefined) this.#awaitFacts();
    if (recovered) for (const listener of [...(this.#ofRecovery ?? [])]) listener();
  }

  #tellFacts(attestation: Attestation, former: CallerClass | undefined): void {
    const message = former === undefined ? 'caller attested' : 'facts of a caller have changed';
    const selectors = attestation.selectors.map(redactSelector);
    const contained = attestation.contained === undefined ? {} : { contained: attestation.contained };
    this.#parts.log.debug({ ...this.#who, selectors, entries: this.#class!.entries.length, ...contained }, message);
    if (former !== undefined) this.#noteLapses(attestation, former.entries);
    const changed = difference(former?.entries ?? [], this.#class!.entries);
    for (const entry of difference(former?.withheld ?? [], this.withheld)) changed.add(entry);
    for (const entry of difference(unreadOf(former?.unrendered ?? []), unreadOf(this.unrendered))) changed.add(entry);
    if (changed.size > 0) this.entriesChanged(changed);
    if (former !== undefined) for (const listener of [...(this.#ofFacts ?? [])]) listener();
  }

  get #who(): { peer: string; pid: number; uid: number } {
    const { pid, uid } = this.peer.credentials;
    return { peer: this.peer.id, pid, uid };
  }

  #noteLapses(attestation: Attestation, former: readonly Grant[]): void {
    const now = this.#parts.clock.now();
    const lapses = this.#lapses ?? new Lapses();
    const isGiven = (key: string) => this.#given.get(key);
    const { begun, restored } = lapses.attested(former, attestation.keys, (one) => this.holds(one), isGiven, now);
    if (begun.length === 0 && restored.length === 0) return;
    this.#lapses = lapses;
    this.#lapseLooks = 0;
    this.#followLapses();
    for (const { entry, since } of restored) {
      const what = { ...this.#who, entry_id: entry.id, spiffe_id: entry.spiffeId, missing_ms: now - since };
      this.#parts.log.info(what, 'missing facts of a caller are back');
    }
    if (begun.length === 0) return;
    const level = now - this.#warnedAt >= WARN_EVERY_MS ? 'warn' : 'debug';
    if (level === 'warn') this.#warnedAt = now;
    const lapsed = begun.slice(0, LOGGED).map(describeLapse);
    this.#parts.log[level]({ ...this.#who, entries: begun.length, lapsed }, 'facts of a caller are missing');
  }

  /** Call it when the lapses have changed: sets the timer for the next end, or clears the state if there are none. */
  #followLapses(): void {
    this.#merged = undefined;
    this.#lapseEnd?.cancel();
    const first = this.#lapses?.firstEnd;
    if (first !== undefined) {
      this.#parts.lapsing.add(this);
      this.#lapseEnd = this.#parts.clock.at(first, () => this.#endLapses());
      return;
    }
    this.#parts.lapsing.delete(this);
    this.#lapseRetry?.cancel();
    this.#lapses = undefined;
    this.#lapseEnd = undefined;
    this.#lapseRetry = undefined;
  }

  /** Ends the lapses whose SVIDs have ended: the caller loses those entries. */
  #endLapses(): void {
    const ended = this.#lapses?.end(this.#parts.clock.now()) ?? [];
    this.#followLapses();
    const lost = ended.slice(0, LOGGED).map(({ entry }) => entry.spiffeId);
    if (ended.length === 0) return;
    for (const { entry } of ended) this.#given.delete(keyOf(entry));
    const message = 'a caller has lost entries: its facts were missing until its SVIDs ended';
    this.#parts.log.info({ ...this.#who, entries: ended.length, lost }, message);
    this.entriesChanged(new Set(ended.map(({ entry }) => entry)));
  }

  /** Schedules the next attestation to look for the missing facts. */
  #awaitFacts(): void {
    if (this.#lapses === undefined) return;
    this.#lapseLooks += 1;
    this.#lapseRetry?.cancel();
    const delay = backoffApart(this.#lapseLooks, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    this.#lapseRetry = this.#parts.clock.after(delay, () => this.#parts.looks.once(this));
  }

  /** Schedules a retry for a caller that had entries before an attestor failed. Peer handles the other cases. */
  #refuse(failure: SidekeyError): void {
    if (this.#class === undefined || failure.code !== 'ERR_ATTESTATION_FAILED' || this.peer.gone) return;
    this.#failures += 1;
    const delay = backoffApart(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    const why = failure.cause === undefined ? { code: failure.code, reason: failure.message } : { err: failure };
    const log = ownedLog(this.#parts.log, this.peer.owner.name);
    log.warn({ ...why, peer: this.peer.id, retry_ms: delay }, 'attesting a caller again failed');
    this.#retry?.cancel();
    this.#retry = this.#parts.clock.after(delay, () => {
      this.reattest().catch(() => undefined); // on failure this method schedules the next retry
    });
  }
}
