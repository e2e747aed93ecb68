/** Checks conditions and waits for them. */

/** A condition does not hold: what was expected, and what was seen. */
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
  /** Time limit in milliseconds. The default is generous, because a loaded machine is slow. */
  readonly within?: number;
}

/** Short compared with the measured times, but long enough not to load the machine. */
const INTERVAL_MS = 2;
const LIMIT_MS = 20_000;

/**
 * Calls `look` until its result satisfies `until`, and returns that result. Errors of `look` are ignored (a server may not
 * listen yet), except {@link Unexpected}.
 *
 * @throws Unexpected with the last result after the time limit, or as thrown by `look`
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
