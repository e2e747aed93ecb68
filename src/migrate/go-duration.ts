/** Durations as Go writes them. */

const UNITS: Readonly<Record<string, number>> = { h: 3_600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };

/** Whole seconds of a text such as `1h30m` or `1.5h`; undefined if it is none, or not whole. @see time.ParseDuration */
export function goSeconds(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^\+?(?:\d+(?:\.\d*)?(?:h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)/g))
    seconds += Number(count) * UNITS[unit!]!;
  return Number.isSafeInteger(seconds) ? seconds : undefined;
}
