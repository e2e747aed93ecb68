/**
 * Lapses: entries whose SVID the caller still has, but which its latest facts do not match. Facts may be missing
 * briefly (a file that is rewritten, an engine that restarts), so the caller loses such an entry only when the SVID
 * ends. Until then nothing is issued from the entry.
 */

import { isDeepStrictEqual } from 'node:util';
import { redactSelector } from '../attest/index.ts';
import { ENTRY_FIELD_LIST, type Entry, missing } from '../registry/index.ts';

export interface Lapse {
  readonly entry: Entry;
  /**
   * When the facts were first missing and when the last sent SVID of the entry ends, in milliseconds since the epoch.
   */
  readonly since: number;
  readonly until: number;
  /** The entry's selectors that the caller lacks, as `type:value`; without values of environment selectors. */
  readonly lacks: readonly string[];
}

/** The lapses that an attestation has started and ended. */
export interface LapseChange {
  readonly begun: readonly Lapse[];
  /** Entries that match again. */
  readonly restored: readonly Lapse[];
}

export class Lapses {
  readonly #byId = new Map<string, Lapse>();

  get size(): number {
    return this.#byId.size;
  }

  /** The earliest end; undefined if there are no lapses. */
  get firstEnd(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#byId.values()) if (first === undefined || until < first) first = until;
    return first;
  }

  values(): Iterable<Lapse> {
    return this.#byId.values();
  }

  /** The lapse of this version of the entry. */
  of(entry: Entry): Lapse | undefined {
    const lapse = this.#byId.get(entry.id);
    return lapse?.entry === entry ? lapse : undefined;
  }

  /**
   * Applies a new attestation.
   * @param former the entries that the caller matched before
   * @param facts its selectors now
   * @param holds whether the caller matches an entry now
   * @param givenUntil the end of the last SVID of an entry that the caller was sent; undefined if it was sent none
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

  /** Removes the lapses that end by `now`, and returns them. */
  end(now: number): Lapse[] {
    const ended = [...this.#byId.values()].filter(({ until }) => until <= now);
    for (const { entry } of ended) this.#byId.delete(entry.id);
    return ended;
  }

  /**
   * Applies a change or deletion (`after` undefined) of an entry. It ends the lapse at once, unless the change cannot
   * affect which callers match.
   * @returns the entry whose lapse ended, if any
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

/** One line for display. */
export function describeLapse({ entry, since, until, lacks }: Lapse): string {
  const [from, end] = [since, until].map((at) => new Date(at).toISOString());
  const why = lacks.length === 0 ? 'does not match it' : `lacks ${lacks.join(', ')}`;
  return `entry ${entry.id} gave ${entry.spiffeId}; since ${from} the caller ${why}; it is attested again until its SVID ends at ${end}`;
}
