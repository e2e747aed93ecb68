/** Waiting for conditions, and what is said when one does not come true. */

/** Something was expected and something else was seen. */
export class Unexpected extends Error {
  readonly expected: string;
  readonly seen: string;

  constructor(expected: string, seen: unknown) {
    const text = typeof seen === 'string' ? seen : (JSON.stringify(seen) ?? String(seen));
    super(`expected ${expected}, saw ${text}`);
    this.expected = expected;
    this.seen = text;
  }
}

/** @throws Unexpected unless the condition holds */
export function expect(condition: boolean, expected: string, seen: unknown): asserts condition {
  if (!condition) throw new Unexpected(expected, seen);
}

export interface Waiting<T> {
  readonly look: () => Promise<T>;
  readonly until: (seen: T) => boolean;
  /** Milliseconds; what should take moments gets much more, since a loaded machine is slow. */
  readonly within?: number;
}

/** Between two looks: short beside what is measured, long enough not to be the load itself. */
const INTERVAL_MS = 2;
const LIMIT_MS = 20_000;

/**
 * Looks until what is seen is what was expected, and returns it. A look that fails (nobody listens yet) is one that did
 * not see it, but {@link Unexpected} ends the wait.
 *
 * @throws Unexpected with the last look once the time is over
 */
export async function wait<T>(expected: string, { look, until, within = LIMIT_MS }: Waiting<T>): Promise<T> {
  const end = performance.now() + within;
  for (;;) {
    const seen = await look().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if ('error' in seen && seen.error instanceof Unexpected) throw seen.error;
    if ('value' in seen && until(seen.value)) return seen.value;
    if (performance.now() > end) {
      throw new Unexpected(`${expected} within ${within / 1000} s`, 'value' in seen ? seen.value : String(seen.error));
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}
