/** How long to wait before another try: twice as long after each failure, up to a limit. */

/** In milliseconds; `failures`: how many there were in a row, the one just now included. */
export function backoff(failures: number, first: number, limit: number): number {
  return Math.min(first * 2 ** (failures - 1), limit);
}
