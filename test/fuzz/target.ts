/** What is thrown at, and until when. */

export interface Result {
  readonly inputs: number;
  readonly seconds: number;
  /** What else there is to tell. */
  readonly notes: readonly string[];
}

/** True as long as there is to be another input. */
export type Budget = (inputs: number) => boolean;

export type Target = (seed: number, goOn: Budget) => Promise<Result>;

/** An input that broke something; to be had again by its seed and number. */
export class Broken extends Error {
  constructor(target: string, seed: number, input: number, shown: string, cause: unknown) {
    super(`${target}: input ${input} of seed ${seed} breaks it: ${shown}`, { cause });
    this.name = 'Broken';
  }
}

export function inputs(count: number): Budget {
  return (done) => done < count;
}

export function seconds(count: number): Budget {
  const end = performance.now() + count * 1_000;
  // The time is looked at now and then; an input may take a microsecond.
  return (done) => done % 64 !== 0 || performance.now() < end;
}
