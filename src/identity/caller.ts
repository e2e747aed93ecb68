/** One caller's standing: its facts, the entries that it matches now, and who wants to hear when that changes. */

import type { Attestation, Peer } from '../attest/types.ts';
import { backoff } from '../base/backoff.ts';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Entry } from '../registry/types.ts';
import type { SpiffeId } from '../spiffe/id.ts';
import { redactSelector } from '../spiffe/selector.ts';
import { type Log, ownedLog } from '../telemetry/log.ts';
import { type CallerClass, type CallerClasses, difference, type Member } from './classes.ts';
import type { SequenceNumbers } from './svids.ts';

type Listener = () => void;

const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 15_000;
const NO_SELECTORS: ReadonlySet<string> = new Set();

export interface CallerParts {
  readonly classes: CallerClasses;
  readonly sequence: SequenceNumbers;
  readonly clock: Clock;
  readonly log: Log;
}

export class Caller implements Member {
  readonly peer: Peer;
  readonly #parts: CallerParts;
  readonly #ofIdentity = new Map<string, Set<Listener>>();
  readonly #ofEntries = new Set<Listener>();
  readonly #ofRecovery = new Set<Listener>();
  #class: CallerClass | undefined;
  /** Where the last successful attestation began in the order of issuances and attestations. */
  #attested = 0;
  #attesting: { readonly sequence: number; readonly done: Promise<void> } | undefined;
  #retry: Deadline | undefined;
  #failures = 0;

  constructor(peer: Peer, parts: CallerParts) {
    this.peer = peer;
    this.#parts = parts;
  }

  /** The entries that this caller matches now, oldest first; none before it is attested. */
  get entries(): readonly Entry[] {
    return this.#class?.entries ?? [];
  }

  /** Entries whose selectors this caller has, and that it does not have since it is in a container. */
  get withheld(): readonly Entry[] {
    return this.#class?.withheld ?? [];
  }

  /** Why this caller counts as contained, by the last attestation; undefined where it does not. */
  get contained(): string | undefined {
    return this.#class?.attestation.contained;
  }

  /** The selectors of the last attestation. */
  get selectors(): ReadonlySet<string> {
    return this.#class?.attestation.keys ?? NO_SELECTORS;
  }

  /** The same for people to see: values of environment selectors are left out. */
  get shownSelectors(): readonly string[] {
    return this.#class?.shownSelectors ?? [];
  }

  /** The oldest matching entry that gives this SPIFFE ID. */
  entryFor(spiffeId: SpiffeId): Entry | undefined {
    return this.#class?.entryFor(spiffeId);
  }

  /** True if the caller matches the entry, as it stands, now. */
  holds(entry: Entry): boolean {
    return this.#class?.has(entry) ?? false;
  }

  /** True if the caller was attested after this point of the sequence. */
  attestedAfter(sequence: number): boolean {
    return this.#attested > sequence;
  }

  /**
   * Reads the caller's facts anew unless they were read after this point of the sequence.
   * @throws what {@link Peer.attest} throws; a failing attestor is tried again in the background
   */
  async attestAfter(sequence: number): Promise<void> {
    while (!this.attestedAfter(sequence)) {
      if (this.#attesting === undefined || this.#attesting.sequence <= sequence) this.#attesting = this.#attest();
      await this.#attesting.done;
    }
  }

  /** Reads the caller's facts anew. @throws as {@link attestAfter} */
  reattest(): Promise<void> {
    return this.attestAfter(this.#attested);
  }

  /** Reads the caller's facts anew, in the background, if they were read; whoever watches hears what that changes. */
  refresh(): void {
    if (!this.attested && this.#attesting === undefined) return;
    this.attestAfter(this.#parts.sequence.next()).catch(() => undefined); // logged, and tried again, by #refuse
  }

  /** True once the caller's facts are known. */
  get attested(): boolean {
    return this.#attested > 0;
  }

  /** Told when the entry that gives this SPIFFE ID changes for this caller. Returns the way to stop. */
  watchIdentity(spiffeId: SpiffeId, listener: Listener): () => void {
    const listeners = this.#ofIdentity.get(spiffeId);
    if (listeners === undefined) this.#ofIdentity.set(spiffeId, new Set([listener]));
    else listeners.add(listener);
    return () => {
      const left = this.#ofIdentity.get(spiffeId);
      left?.delete(listener);
      if (left?.size === 0) this.#ofIdentity.delete(spiffeId);
    };
  }

  /** Told when the set of matching entries changes. Returns the way to stop. */
  watchEntries(listener: Listener): () => void {
    this.#ofEntries.add(listener);
    return () => this.#ofEntries.delete(listener);
  }

  /** Told when an attestation works again after one that failed. Returns the way to stop. */
  watchRecovery(listener: Listener): () => void {
    this.#ofRecovery.add(listener);
    return () => this.#ofRecovery.delete(listener);
  }

  entriesChanged(changed: ReadonlySet<Entry>): void {
    const told = new Set<Listener>(this.#ofEntries);
    for (const { spiffeId } of changed) for (const listener of this.#ofIdentity.get(spiffeId) ?? []) told.add(listener);
    for (const listener of told) listener();
  }

  /** Takes the caller out of the join, for good. */
  leave(): void {
    this.#retry?.cancel();
    if (this.#class !== undefined) this.#parts.classes.leave(this, this.#class);
    this.#class = undefined;
    this.#ofIdentity.clear();
    this.#ofEntries.clear();
    this.#ofRecovery.clear();
  }

  #attest(): { sequence: number; done: Promise<void> } {
    const sequence = this.#parts.sequence.next();
    // Peer shares a reading that is under way, but that one may have begun before what this one must come after.
    const former = this.#attesting?.done.catch(() => undefined);
    const reading = (former === undefined ? this.peer.attest() : former.then(() => this.peer.attest())).then(
      (attestation) => this.#accept(attestation, sequence),
      (error: unknown) => {
        const failure = SidekeyError.from(error, 'ERR_ATTESTATION_FAILED');
        this.#refuse(failure);
        throw failure;
      },
    );
    const attesting = {
      sequence,
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
    if (recovered) for (const listener of [...this.#ofRecovery]) listener();
  }

  #tellFacts(attestation: Attestation, former: CallerClass | undefined): void {
    const { pid, uid } = this.peer.credentials;
    this.#parts.log.debug(
      {
        peer: this.peer.id,
        pid,
        uid,
        selectors: attestation.selectors.map(redactSelector),
        entries: this.entries.length,
        ...(attestation.contained === undefined ? {} : { contained: attestation.contained }),
      },
      former === undefined ? 'caller attested' : 'caller has other facts than before',
    );
    const changed = difference(former?.entries ?? [], this.entries);
    for (const entry of difference(former?.withheld ?? [], this.withheld)) changed.add(entry);
    if (changed.size > 0) this.entriesChanged(changed);
  }

  /** A caller that held something before an attestor failed is attested again until it works; see Peer for the rest. */
  #refuse(failure: SidekeyError): void {
    if (this.#class === undefined || failure.code !== 'ERR_ATTESTATION_FAILED' || this.peer.gone) return;
    this.#failures += 1;
    const delay = backoff(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    const why = failure.cause === undefined ? { code: failure.code, reason: failure.message } : { err: failure };
    const log = ownedLog(this.#parts.log, this.peer.owner.name);
    log.warn({ ...why, peer: this.peer.id, retry_ms: delay }, 'attesting a caller again failed');
    this.#retry?.cancel();
    this.#retry = this.#parts.clock.after(delay, () => {
      this.reattest().catch(() => undefined); // set for another try by this very function
    });
  }
}
