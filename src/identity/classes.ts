/**
 * Matches callers with entries. Callers with equal facts share one class, so a change of the registry is computed once
 * for all of them.
 */

import { type Attestation, type Peer, redactSelector } from '../attest/index.ts';
import { type Entry, type EntryChange, isForContained, missing, type Registry } from '../registry/index.ts';
import { formatSelector, type SpiffeId } from '../spiffe/index.ts';

/** A member of a class. It learns which entries it has gained or lost, or no longer gets because of a container. */
export interface ClassMember {
  readonly peer: Pick<Peer, 'credentials'>;
  entriesChanged(changed: ReadonlySet<Entry>): void;
}

/** All callers that have exactly these selectors, and the entries that they get. */
export class CallerClass {
  readonly attestation: Attestation;
  readonly members = new Set<ClassMember>();
  #entries: readonly Entry[] = [];
  #withheld: readonly Entry[] = [];
  #all: ReadonlySet<Entry> = new Set();
  #byId: ReadonlyMap<SpiffeId, Entry> = new Map();
  #shown: readonly string[] | undefined;

  /** @param matching the entries whose selectors the callers have, oldest first */
  constructor(attestation: Attestation, matching: readonly Entry[]) {
    this.attestation = attestation;
    this.match(matching);
  }

  /** The selectors for display, without values of environment selectors. All users share one array. */
  get shownSelectors(): readonly string[] {
    this.#shown ??= this.attestation.selectors.map(redactSelector);
    return this.#shown;
  }

  /** Oldest first, then by id. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Entries whose selectors match, but which the callers do not get because they are in containers. Oldest first. */
  get withheld(): readonly Entry[] {
    return this.#withheld;
  }

  /**
   * Sets the entries whose selectors the callers have, oldest first.
   * @returns the entries that were gained, lost or withheld
   */
  match(matching: readonly Entry[]): Set<Entry> {
    const [entries, withheld] = split(matching, this.attestation);
    const changed = difference(this.#entries, entries);
    for (const entry of difference(this.#withheld, withheld)) changed.add(entry);
    this.#entries = entries;
    this.#withheld = withheld;
    this.#all = new Set(entries);
    // If several entries have one SPIFFE ID, the oldest is set last and stays.
    this.#byId = new Map(entries.map((entry) => [entry.spiffeId, entry] as const).reverse());
    return changed;
  }

  has(entry: Entry): boolean {
    return this.#all.has(entry);
  }

  /** The oldest entry that gives this SPIFFE ID. */
  entryFor(spiffeId: SpiffeId): Entry | undefined {
    return this.#byId.get(spiffeId);
  }
}

export class CallerClasses {
  readonly #registry: Registry;
  readonly #classes = new Map<string, CallerClass>();
  /** Classes by selector. */
  readonly #bySelector = new Map<string, Set<CallerClass>>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Moves a member from its former class to the class of its facts. @returns the new class */
  move(member: ClassMember, attestation: Attestation, former: CallerClass | undefined): CallerClass {
    if (former?.attestation.key === attestation.key) return former;
    let joined = this.#classes.get(attestation.key);
    if (joined === undefined) {
      joined = new CallerClass(attestation, this.#registry.match(attestation.keys));
      this.#classes.set(attestation.key, joined);
      for (const selector of attestation.keys) {
        const having = this.#bySelector.get(selector);
        if (having === undefined) this.#bySelector.set(selector, new Set([joined]));
        else having.add(joined);
      }
    }
    joined.members.add(member);
    if (former !== undefined) this.leave(member, former);
    return joined;
  }

  leave(member: ClassMember, left: CallerClass): void {
    left.members.delete(member);
    if (left.members.size > 0) return;
    this.#classes.delete(left.attestation.key);
    for (const selector of left.attestation.keys) {
      const having = this.#bySelector.get(selector);
      having?.delete(left);
      if (having?.size === 0) this.#bySelector.delete(selector);
    }
  }

  /** Applies one transaction's changes to every class that they affect, and informs the members. */
  apply(changes: readonly EntryChange[]): void {
    const touched = new Set<CallerClass>();
    for (const { before, after } of changes) {
      if (before !== undefined) this.#addMatching(before, touched);
      if (after !== undefined) this.#addMatching(after, touched);
    }
    for (const one of touched) {
      const changed = one.match(this.#registry.match(one.attestation.keys));
      if (changed.size > 0) for (const member of [...one.members]) member.entriesChanged(changed);
    }
  }

  /** Number of callers that get this entry. */
  holders(entry: Entry): number {
    const matching = new Set<CallerClass>();
    this.#addMatching(entry, matching);
    let members = 0;
    for (const one of matching) if (isFor(entry, one.attestation)) members += one.members.size;
    return members;
  }

  /** Classes with withheld entries. */
  *withholding(): Iterable<CallerClass> {
    for (const one of this.#classes.values()) if (one.withheld.length > 0) yield one;
  }

  #addMatching(entry: Entry, into: Set<CallerClass>): void {
    let rarest: ReadonlySet<CallerClass> | undefined;
    for (const selector of entry.selectors) {
      const having = this.#bySelector.get(formatSelector(selector));
      if (having === undefined) return;
      if (rarest === undefined || having.size < rarest.size) rarest = having;
    }
    for (const one of rarest ?? []) {
      if (missing(entry, one.attestation.keys).length === 0) into.add(one);
    }
  }
}

function isFor(entry: Entry, { contained }: Pick<Attestation, 'contained'>): boolean {
  return contained === undefined || isForContained(entry);
}

/**
 * Splits the entries that match by selector: those that the caller gets, and those withheld because it is in a
 * container.
 */
export function split(
  matching: readonly Entry[],
  attestation: Pick<Attestation, 'contained'>,
): readonly [entries: readonly Entry[], withheld: readonly Entry[]] {
  if (attestation.contained === undefined) return [matching, []];
  return [
    matching.filter((entry) => isFor(entry, attestation)),
    matching.filter((entry) => !isFor(entry, attestation)),
  ];
}

/** Entries that are in only one of the lists. A changed entry is a new object, so both its versions are included. */
export function difference(a: readonly Entry[], b: readonly Entry[]): Set<Entry> {
  const changed = new Set(a);
  for (const entry of b) if (!changed.delete(entry)) changed.add(entry);
  return changed;
}
