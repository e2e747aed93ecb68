/** How long to wait before another try: twice as long after each failure, up to a limit. */

/** In milliseconds; `failures`: how many there were in a row, the one just now included. */
export function backoff(failures: number, first: number, limit: number): number {
  return Math.min(first * 2 ** (failures - 1), limit);
}

/**
 * The same, shortened by up to a half at random, where many may have failed together: they don't try again together.
 * @param random from 0 (included) to 1 (not included)
 */
export function backoffApart(
  failures: number,
  first: number,
  limit: number,
  random: () => number = Math.random,
): number {
  return backoff(failures, first, limit) * (1 - random() / 2);
}
