/** The values of one scrape, by family. */

import type { Times } from '../telemetry/index.ts';
import { FAMILIES, type FamilyName } from './families.ts';

export type Labels = Readonly<Record<string, string>>;

/** A value, or a histogram as its cumulative counts. */
export type Sample =
  | { readonly labels: Labels; readonly value: number }
  | {
      readonly labels: Labels;
      readonly bounds: readonly number[];
      readonly counts: readonly number[];
      readonly count: number;
      readonly sum: number;
    };

export class Samples {
  readonly #samples = new Map<FamilyName, Sample[]>();

  /** @param value undefined: there is none now */
  set(name: FamilyName, value: number | undefined, labels: Labels = {}): void {
    if (value !== undefined) this.#add(name, { labels, value });
  }

  times(name: FamilyName, times: Times, labels: Labels = {}): void {
    this.#add(name, { labels, bounds: times.bounds, counts: times.cumulative(), count: times.count, sum: times.sum });
  }

  /** Every family, in the order of the table, also those without a sample. */
  *families(): Iterable<[FamilyName, readonly Sample[]]> {
    for (const name of Object.keys(FAMILIES) as FamilyName[]) yield [name, this.#samples.get(name) ?? []];
  }

  #add(name: FamilyName, sample: Sample): void {
    const samples = this.#samples.get(name);
    if (samples === undefined) this.#samples.set(name, [sample]);
    else samples.push(sample);
  }
}
