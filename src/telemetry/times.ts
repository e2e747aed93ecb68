/** How long something took, as a histogram. All durations are in seconds. */

/** Upper bounds for work within the process: from half a millisecond to ten seconds. */
export const SHORT: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
/** The same for work that may wait for other programs or for RSA keys: up to a minute. */
export const LONG: readonly number[] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class Times {
  /** Ascending. */
  readonly bounds: readonly number[];
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  constructor(bounds: readonly number[] = SHORT) {
    this.bounds = bounds;
    this.#counts = new Array<number>(bounds.length).fill(0);
  }

  /** Adds a duration; a negative one, as after a clock was set back, counts as 0. */
  add(seconds: number): void {
    const value = seconds > 0 ? seconds : 0;
    this.#count += 1;
    this.#sum += value;
    const { bounds } = this;
    for (let i = 0; i < bounds.length; i += 1) {
      if (value > bounds[i]!) continue;
      this.#counts[i]! += 1;
      return;
    }
  }

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  /** For each bound, the number of durations up to it. */
  cumulative(): number[] {
    let sum = 0;
    return this.#counts.map((count) => {
      sum += count;
      return sum;
    });
  }
}

/** The seconds since an instant of `performance.now()`. */
export function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1_000;
}
