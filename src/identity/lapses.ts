/**
 * Lapses: entries whose SVID the caller still has, but which its latest facts do not match. Facts may be missing
 * briefly (a file that is rewritten, an engine that restarts), so the caller loses such an entry only when the SVID
 * ends. Until then nothing is issued from the entry.
 */

import { isDeepStrictEqual } from 'node:util';
import { redactSelector } from '../attest/index.ts';
import { ENTRY_FIELD_LIST, type Entry, missing } from '../registry/index.ts';
import { type Grant, keyOf, nextVersion } from './grant.ts';

export interface Lapse {
  readonly entry: Grant;
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
  /** By {@link keyOf}. */
  readonly #byKey = new Map<string, Lapse>();

  get size(): number {
    return this.#byKey.size;
  }

  /** The earliest end; undefined if there are no lapses. */
  get firstEnd(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#byKey.values()) if (first === undefined || until < first) first = until;
    return first;
  }

  values(): Iterable<Lapse> {
    return this.#byKey.values();
  }

  /** The lapse of this version of the entry. */
  of(entry: Grant): Lapse | undefined {
    const lapse = this.#byKey.get(keyOf(entry));
    return lapse?.entry === entry ? lapse : undefined;
  }

  /**
   * Applies a new attestation.
   * @param former the entries that the caller matched before
   * @param facts its selectors now
   * @param holds whether the caller matches an entry now
   * @param givenUntil the end of the last SVID that the caller was sent, by the key of its grant; undefined if it was sent
   *   none
   */
  attested(
    former: readonly Grant[],
    facts: ReadonlySet<string>,
    holds: (entry: Grant) => boolean,
    givenUntil: (key: string) => number | undefined,
    now: number,
  ): LapseChange {
    const restored = [...this.#byKey.values()].filter(({ entry }) => holds(entry));
    for (const { entry } of restored) this.#byKey.delete(keyOf(entry));
    const begun: Lapse[] = [];
    for (const entry of former) {
      const key = keyOf(entry);
      const until = givenUntil(key);
      if (holds(entry) || this.#byKey.has(key) || until === undefined || until <= now) continue;
      const lapse = { entry, since: now, until, lacks: missing(entry, facts).map(redactSelector) };
      this.#byKey.set(key, lapse);
      begun.push(lapse);
    }
    return { begun, restored };
  }

  /** Removes the lapses that end by `now`, and returns them. */
  end(now: number): Lapse[] {
    const ended = [...this.#byKey.values()].filter(({ until }) => until <= now);
    for (const { entry } of ended) this.#byKey.delete(keyOf(entry));
    return ended;
  }

  /**
   * Applies a change or deletion (`after` undefined) of an entry. It ends the lapse at once, unless the change cannot
   * affect which callers match.
   * @returns the grants of the entry that lapsed until now
   */
  entryChanged(id: string, after: Entry | undefined): Grant[] {
    const lapsed = [...this.#byKey].filter(([, { entry }]) => entry.id === id);
    for (const [key, lapse] of lapsed) {
      const next = after && givesTheSame(lapse.entry, after) ? nextVersion(lapse.entry, after) : undefined;
      if (next === undefined) this.#byKey.delete(key);
      else this.#byKey.set(key, { ...lapse, entry: next });
    }
    return lapsed.map(([, { entry }]) => entry);
  }
}

const DECIDES_WHO = ENTRY_FIELD_LIST.filter(([, { decidesNobody }]) => decidesNobody !== true).map(([field]) => field);

function givesTheSame(grant: Grant, b: Entry): boolean {
  const a = grant.rendered?.entry ?? grant;
  return DECIDES_WHO.every((field) => isDeepStrictEqual(a[field], b[field]));
}

/** One line for display. */
export function describeLapse({ entry, since, until, lacks }: Lapse): string {
  const [from, end] = [since, until].map((at) => new Date(at).toISOString());
  const different = entry.rendered === undefined ? 'does not match it' : 'has other values for its template';
  const why = lacks.length === 0 ? different : `lacks ${lacks.join(', ')}`;
  return `entry ${entry.id} gave ${entry.spiffeId}; since ${from} the caller ${why}; it is attested again until its SVID ends at ${end}`;
}
