/**
 * How long to wait before another try: twice as long after each failure, up to a limit, and up to half of that less by
 * chance, so that those who failed together don't all try again at the same moment.
 */

/**
 * In milliseconds.
 * @param failures how many there were in a row, the one just now included
 * @param random from 0 (included) to 1 (not included)
 */
export function backoff(failures: number, first: number, limit: number, random: () => number = Math.random): number {
  return Math.min(first * 2 ** (failures - 1), limit) * (1 - random() / 2);
}
