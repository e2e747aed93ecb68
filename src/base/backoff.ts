/** The delay before another try: it doubles after each failure, up to a limit. */

/** In milliseconds; `failures`: the number of consecutive failures, including the latest. */
export function backoff(failures: number, first: number, limit: number): number {
  return Math.min(first * 2 ** (failures - 1), limit);
}

/**
 * The same with jitter: shortened at random by up to a half, so that parts that failed together do not retry together.
 * @param random returns a number in [0, 1)
 */
export function backoffApart(
  failures: number,
  first: number,
  limit: number,
  random: () => number = Math.random,
): number {
  return backoff(failures, first, limit) * (1 - random() / 2);
}
