/**
 * Matches callers with entries. Callers with equal facts share one class, so a change of the registry is computed once
 * for all of them.
 */

import { type Attestation, type Peer, redactSelector } from '../attest/index.ts';
import type { Clock, Deadline } from '../base/index.ts';
import {
  type Entry,
  type EntryChange,
  isForContained,
  missing,
  type RegistryView,
  templateOf,
} from '../registry/index.ts';
import { formatSelector, isNegated, type SpiffeId } from '../spiffe/index.ts';
import { type Grant, isGrant } from './grant.ts';
import type { Renderings, Unrendered } from './renderings.ts';

/** A member of a class. It learns which entries it has gained or lost, or no longer gets because of a container. */
export interface ClassMember {
  readonly peer: Pick<Peer, 'credentials'>;
  /** Attests it again, as soon as the budget allows. */
  lookSoon(): void;
  entriesChanged(changed: ReadonlySet<Entry>): void;
}

/** All callers that have exactly these selectors, and the entries that they get. */
export class CallerClass {
  readonly attestation: Attestation;
  readonly members = new Set<ClassMember>();
  readonly #renderings: Renderings;
  #entries: readonly Grant[] = NONE;
  #withheld: readonly Entry[] = NONE;
  #unrendered: readonly Unrendered[] = NONE;
  #all: ReadonlySet<Entry> = new Set();
  #byId: ReadonlyMap<SpiffeId, Grant> = new Map();
  #shown: readonly string[] | undefined;

  /** It has no entries before the first {@link match}. */
  constructor(attestation: Attestation, renderings: Renderings) {
    this.attestation = attestation;
    this.#renderings = renderings;
  }

  /** The selectors for display, without values of environment selectors. All users share one array. */
  get shownSelectors(): readonly string[] {
    this.#shown ??= this.attestation.selectors.map(redactSelector);
    return this.#shown;
  }

  /** Oldest first, then by id. */
  get entries(): readonly Grant[] {
    return this.#entries;
  }

  /** Entries whose selectors match, but which the callers do not get because they are in containers. Oldest first. */
  get withheld(): readonly Entry[] {
    return this.#withheld;
  }

  /** Entries whose selectors match, but whose templates are not rendered. Oldest first. */
  get unrendered(): readonly Unrendered[] {
    return this.#unrendered;
  }

  /** True if a template rendered a SPIFFE ID that the callers do not get. */
  get isRefused(): boolean {
    return this.#unrendered.some(({ spiffeId }) => spiffeId !== undefined);
  }

  /** The SPIFFE IDs that templates rendered, those that the callers do not get included. */
  get renderedIds(): ReadonlySet<SpiffeId> {
    if (this.#unrendered.length === 0 && !this.#entries.some(({ rendered }) => rendered !== undefined)) return NO_IDS;
    const given = this.#entries.flatMap(({ rendered, spiffeId }) => (rendered === undefined ? [] : [spiffeId]));
    return new Set([...given, ...this.#unrendered.flatMap(({ spiffeId }) => spiffeId ?? [])]);
  }

  /**
   * Sets the entries whose selectors the callers have, oldest first.
   * @returns the entries that were gained, lost, withheld, or wait for an attestation
   */
  match(matching: readonly Entry[]): Set<Entry> {
    const [mine, withheld] = split(matching, this.attestation);
    const { grants, unrendered } = this.#renderings.renderAll(this, mine, this.attestation);
    const changed = difference(this.#entries, grants);
    for (const entry of difference(this.#withheld, withheld)) changed.add(entry);
    for (const entry of difference(unreadOf(this.#unrendered), unreadOf(unrendered))) changed.add(entry);
    this.#entries = grants;
    this.#withheld = withheld;
    this.#unrendered = unrendered;
    this.#all = new Set(grants);
    // If several entries have one SPIFFE ID, the oldest is set last and stays.
    this.#byId = new Map(grants.map((entry) => [entry.spiffeId, entry] as const).reverse());
    return changed;
  }

  /** It has no members any more. */
  close(): void {
    this.#renderings.release(this);
  }

  has(entry: Entry): boolean {
    return this.#all.has(entry);
  }

  /** The oldest entry that gives this SPIFFE ID. */
  entryFor(spiffeId: SpiffeId): Grant | undefined {
    return this.#byId.get(spiffeId);
  }
}

const NONE: readonly never[] = [];
const NO_IDS: ReadonlySet<SpiffeId> = new Set();

/** Interval at which SPIFFE IDs that were refused to templates are tried again, in milliseconds. */
const RETRY_MS = 15_000;

export interface CallerClassesParts {
  readonly registry: RegistryView;
  readonly renderings: Renderings;
  readonly clock: Clock;
}

export class CallerClasses {
  readonly #registry: RegistryView;
  readonly #renderings: Renderings;
  readonly #classes = new Map<string, CallerClass>();
  /** Classes by selector. */
  readonly #bySelector = new Map<string, Set<CallerClass>>();
  /** Classes by the SPIFFE IDs that templates rendered for them. */
  readonly #byRendered = new Map<SpiffeId, Set<CallerClass>>();
  readonly #clock: Clock;
  #retry: Deadline | undefined;

  constructor({ registry, renderings, clock }: CallerClassesParts) {
    this.#registry = registry;
    this.#renderings = renderings;
    this.#clock = clock;
  }

  /** Ends the timer. */
  close(): void {
    this.#retry?.cancel();
  }

  /** Moves a member from its former class to the class of its facts. @returns the new class */
  move(member: ClassMember, attestation: Attestation, former: CallerClass | undefined): CallerClass {
    if (former?.attestation.key === attestation.key) return former;
    let joined = this.#classes.get(attestation.key);
    if (joined === undefined) {
      joined = new CallerClass(attestation, this.#renderings);
      this.#classes.set(attestation.key, joined);
      for (const selector of attestation.keys) addTo(this.#bySelector, selector, joined);
      this.#match(joined);
    }
    joined.members.add(member);
    if (former !== undefined) this.leave(member, former);
    return joined;
  }

  leave(member: ClassMember, left: CallerClass): void {
    left.members.delete(member);
    if (left.members.size > 0) return;
    this.#classes.delete(left.attestation.key);
    for (const selector of left.attestation.keys) removeFrom(this.#bySelector, selector, left);
    for (const id of left.renderedIds) removeFrom(this.#byRendered, id, left);
    left.close();
  }

  #match(one: CallerClass): Set<Entry> {
    for (const id of one.renderedIds) removeFrom(this.#byRendered, id, one);
    const changed = one.match(this.#registry.match(one.attestation.keys));
    for (const id of one.renderedIds) addTo(this.#byRendered, id, one);
    if (one.isRefused) this.#retry ??= this.#clock.after(RETRY_MS, () => this.#retryRefused());
    return changed;
  }

  /** A template that had made too many may have room now, or the other entry of a SPIFFE ID was deleted. */
  #retryRefused(): void {
    this.#retry = undefined;
    const refused = [...this.#byRendered.values()].flatMap((having) => [...having].filter((one) => one.isRefused));
    for (const one of new Set(refused)) this.#matchAgain(one);
  }

  #matchAgain(one: CallerClass): void {
    const changed = this.#match(one);
    if (changed.size > 0) for (const member of [...one.members]) member.entriesChanged(changed);
  }

  /** Applies one transaction's changes to every class that they affect, and informs the members. */
  apply(changes: readonly EntryChange[]): void {
    const touched = new Set<CallerClass>();
    for (const { before, after } of changes) {
      for (const entry of [before, after]) {
        if (entry === undefined) continue;
        this.#addMatching(entry, touched);
        // A SPIFFE ID that an entry names is not rendered.
        if (isGrant(entry)) for (const one of this.#byRendered.get(entry.spiffeId) ?? NONE) touched.add(one);
      }
    }
    for (const one of touched) this.#matchAgain(one);
    for (const { after } of changes) if (after !== undefined) this.#lookAgain(after);
  }

  /**
   * Attests callers again that have the facts that an entry requires, but were attested before an entry had its negative
   * selectors or placeholders, so that these are not known of them.
   */
  #lookAgain(entry: Entry): void {
    const template = templateOf(entry);
    const negative = entry.selectors.filter(isNegated);
    if (template === undefined && negative.length === 0) return;
    const having = new Set<CallerClass>();
    this.#addMatching({ selectors: entry.selectors.filter((selector) => !isNegated(selector)) }, having);
    for (const { attestation, members } of having) {
      const isKnown =
        (template?.placeholders ?? NONE).every((name) => attestation.values.has(name)) &&
        negative.every((selector) => attestation.keys.has(formatSelector(selector)));
      if (!isKnown) for (const member of members) member.lookSoon();
    }
  }

  /** Number of callers that get this entry. */
  holders(entry: Entry): number {
    if (!this.#registry.isLocal(entry)) return 0;
    const matching = new Set<CallerClass>();
    this.#addMatching(entry, matching);
    let members = 0;
    for (const one of matching) if (isGot(entry, one)) members += one.members.size;
    return members;
  }

  /** Classes with withheld entries. */
  *withholding(): Iterable<CallerClass> {
    for (const one of this.#classes.values()) if (one.withheld.length > 0) yield one;
  }

  /** Classes with entries whose templates are not rendered. */
  *unrendering(): Iterable<CallerClass> {
    for (const one of this.#classes.values()) if (one.unrendered.length > 0) yield one;
  }

  #addMatching(entry: Pick<Entry, 'selectors'>, into: Set<CallerClass>): void {
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

function isGot(entry: Entry, { attestation, entries }: CallerClass): boolean {
  if (isGrant(entry)) return isFor(entry, attestation);
  return entries.some(({ rendered }) => rendered?.entry === entry);
}

function addTo<K>(map: Map<K, Set<CallerClass>>, key: K, one: CallerClass): void {
  const having = map.get(key);
  if (having === undefined) map.set(key, new Set([one]));
  else having.add(one);
}

function removeFrom<K>(map: Map<K, Set<CallerClass>>, key: K, one: CallerClass): void {
  const having = map.get(key);
  having?.delete(one);
  if (having?.size === 0) map.delete(key);
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

/** The entries whose templates the next attestation decides. */
export function unreadOf(unrendered: readonly Unrendered[]): readonly Entry[] {
  if (unrendered.length === 0) return NONE;
  return unrendered.filter(({ isUnread }) => isUnread).map(({ entry }) => entry);
}

/** Entries that are in only one of the lists. A changed entry is a new object, so both its versions are included. */
export function difference(a: readonly Entry[], b: readonly Entry[]): Set<Entry> {
  const changed = new Set(a);
  for (const entry of b) if (!changed.delete(entry)) changed.add(entry);
  return changed;
}
