/**
 * Entries that a caller matched, has a valid SVID of, and does not match by its latest facts. A fact may be missing for
 * a moment (a file that is being rewritten, an engine that restarts), so such an entry counts as lost only when that
 * SVID ends; until then nothing is issued from it.
 */

import { isDeepStrictEqual } from 'node:util';
import { redactSelector } from '../attest/selector-kinds.ts';
import { ENTRY_FIELD_LIST } from '../registry/entry-fields.ts';
import { missing } from '../registry/match.ts';
import type { Entry } from '../registry/types.ts';

export interface Lapse {
  readonly entry: Entry;
  /** When the facts were first found missing, and when the last SVID that was given of the entry ends: milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
  /** The entry's selectors that the caller lacks, as `type:value`; values of environment selectors are left out. */
  readonly lacks: readonly string[];
}

/** The lapses that a new attestation has begun and ended. */
export interface LapseChange {
  readonly begun: readonly Lapse[];
  /** The caller matches these again. */
  readonly restored: readonly Lapse[];
}

export class Lapses {
  readonly #byId = new Map<string, Lapse>();

  get size(): number {
    return this.#byId.size;
  }

  /** When the first of them ends; undefined where there is none. */
  get firstEnd(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#byId.values()) if (first === undefined || until < first) first = until;
    return first;
  }

  values(): Iterable<Lapse> {
    return this.#byId.values();
  }

  /** The lapse of this very entry. */
  of(entry: Entry): Lapse | undefined {
    const lapse = this.#byId.get(entry.id);
    return lapse?.entry === entry ? lapse : undefined;
  }

  /**
   * Takes a new attestation over.
   * @param former the entries that the caller matched before, and `facts` its selectors now
   * @param holds whether the caller matches an entry now
   * @param givenUntil when the last SVID of an entry that the caller was given ends; undefined: it was given none
   */
  attested(
    former: readonly Entry[],
    facts: ReadonlySet<string>,
    holds: (entry: Entry) => boolean,
    givenUntil: (entryId: string) => number | undefined,
    now: number,
  ): LapseChange {
    const restored = [...this.#byId.values()].filter(({ entry }) => holds(entry));
    for (const { entry } of restored) this.#byId.delete(entry.id);
    const begun: Lapse[] = [];
    for (const entry of former) {
      const until = givenUntil(entry.id);
      if (holds(entry) || this.#byId.has(entry.id) || until === undefined || until <= now) continue;
      const lapse = { entry, since: now, until, lacks: missing(entry, facts).map(redactSelector) };
      this.#byId.set(entry.id, lapse);
      begun.push(lapse);
    }
    return { begun, restored };
  }

  /** Ends those whose time is over; returns them. */
  end(now: number): Lapse[] {
    const ended = [...this.#byId.values()].filter(({ until }) => until <= now);
    for (const { entry } of ended) this.#byId.delete(entry.id);
    return ended;
  }

  /**
   * An entry was changed or deleted (`after` undefined). A loss through the registry counts at once, so the lapse ends,
   * unless the change leaves alone who gets which identity. Returns the entry that lapsed, where it did.
   */
  entryChanged(id: string, after: Entry | undefined): Entry | undefined {
    const lapse = this.#byId.get(id);
    if (lapse === undefined) return undefined;
    if (after !== undefined && givesTheSame(lapse.entry, after)) this.#byId.set(id, { ...lapse, entry: after });
    else this.#byId.delete(id);
    return lapse.entry;
  }
}

const DECIDES_WHO = ENTRY_FIELD_LIST.filter(([, { decidesNobody }]) => decidesNobody !== true).map(([field]) => field);

function givesTheSame(a: Entry, b: Entry): boolean {
  return DECIDES_WHO.every((field) => isDeepStrictEqual(a[field], b[field]));
}

/** One line for people. */
export function describeLapse({ entry, since, until, lacks }: Lapse): string {
  const [from, end] = [since, until].map((at) => new Date(at).toISOString());
  const why = lacks.length === 0 ? 'does not match it' : `lacks ${lacks.join(', ')}`;
  return `entry ${entry.id} gave ${entry.spiffeId}; since ${from} the caller ${why}; it is attested again until its SVID ends at ${end}`;
}
