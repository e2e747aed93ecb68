/**
 * The live join of callers and entries. Callers with equal facts share one class, so a change of the registry is worked
 * out once for them all.
 */

import { redactSelector } from '../attest/selector-kinds.ts';
import type { Attestation, Peer } from '../attest/types.ts';
import { isForContained } from '../registry/contained.ts';
import { missing } from '../registry/match.ts';
import type { Entry, EntryChange, Registry } from '../registry/types.ts';
import type { SpiffeId } from '../spiffe/id.ts';
import { formatSelector } from '../spiffe/selector.ts';

/** A member of a class: told which entries it has won and lost, or was denied. */
export interface Member {
  readonly peer: Pick<Peer, 'credentials'>;
  entriesChanged(changed: ReadonlySet<Entry>): void;
}

/** All callers that have exactly these selectors, and what they may be. */
export class CallerClass {
  readonly attestation: Attestation;
  readonly members = new Set<Member>();
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

  /** The selectors for people to see: values of environment selectors are left out. One list for all who show it. */
  get shownSelectors(): readonly string[] {
    this.#shown ??= this.attestation.selectors.map(redactSelector);
    return this.#shown;
  }

  /** Oldest first, then by id. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Entries whose selectors the callers have, and that they don't have since they are in a container. Oldest first. */
  get withheld(): readonly Entry[] {
    return this.#withheld;
  }

  /** Takes the entries whose selectors the callers have, oldest first; returns those that it won, lost or was denied. */
  match(matching: readonly Entry[]): Set<Entry> {
    const [entries, withheld] = split(matching, this.attestation);
    const changed = difference(this.#entries, entries);
    for (const entry of difference(this.#withheld, withheld)) changed.add(entry);
    this.#entries = entries;
    this.#withheld = withheld;
    this.#all = new Set(entries);
    // Of several entries with one SPIFFE ID the oldest stays: it is set last.
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
  /** Selector to the classes that have it. */
  readonly #bySelector = new Map<string, Set<CallerClass>>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Puts a member into the class of its facts and out of its former one; returns the class. */
  move(member: Member, attestation: Attestation, former: CallerClass | undefined): CallerClass {
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

  leave(member: Member, left: CallerClass): void {
    left.members.delete(member);
    if (left.members.size > 0) return;
    this.#classes.delete(left.attestation.key);
    for (const selector of left.attestation.keys) {
      const having = this.#bySelector.get(selector);
      having?.delete(left);
      if (having?.size === 0) this.#bySelector.delete(selector);
    }
  }

  /** Works one transaction's changes out for every class that they touch, and tells the members. */
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

  /** How many callers have this entry. */
  holders(entry: Entry): number {
    const matching = new Set<CallerClass>();
    this.#addMatching(entry, matching);
    let members = 0;
    for (const one of matching) if (isFor(entry, one.attestation)) members += one.members.size;
    return members;
  }

  /** Classes of callers that some entry is withheld from. */
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

/** Of entries whose selectors a caller has: those that it has, and those that are withheld from it. */
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

/** The entries that are in one list alone; an entry that changed is a new object and so appears twice, old and new. */
export function difference(a: readonly Entry[], b: readonly Entry[]): Set<Entry> {
  const changed = new Set(a);
  for (const entry of b) if (!changed.delete(entry)) changed.add(entry);
  return changed;
}
