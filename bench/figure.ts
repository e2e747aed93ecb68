/** A figure: measured, printed as one JSON line, beside what it is compared with. */

export interface Figure {
  /** What was measured, such as `first-secret`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The same of others, or what is to be reached, by whose it is. */
  readonly compared_with: Readonly<Record<string, number | string>>;
  /** How it was measured: runs, what was counted. */
  readonly how: string;
}

/** Things to undo after a measurement, the last first. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  readonly after = (step: () => unknown): void => {
    this.#steps.push(step);
  };

  /** Measures with a cleanup of its own, which is run right after; with this one at the latest. */
  async within<T>(measure: (inner: Cleanup) => Promise<T>): Promise<T> {
    const inner = new Cleanup();
    this.after(() => inner.run());
    try {
      return await measure(inner);
    } finally {
      await inner.run();
    }
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

/** The value below which `share` (0 to 1) of the sample lies, by nearest rank. */
export function percentile(sample: readonly number[], share: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
}

/** What each is of the one that it is compared with, at the same place: the median, which no odd minute of the machine moves. */
export function medianShare(sample: readonly number[], compared: readonly number[]): number {
  return percentile(
    sample.map((value, i) => value / compared[i]!),
    0.5,
  );
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
