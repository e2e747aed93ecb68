/** Durations as Go programs write them, such as SPIRE's settings and spire-agent's flags. */

/** In nanoseconds. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3_600e9,
};

const FORM = /^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;

/** Reads what Go's time.ParseDuration reads: `1h30m`, `-1.5s`. @returns milliseconds; undefined if it is no duration */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, parts] = /^([+-]?)(.+)$/s.exec(text) ?? [];
  if (parts === undefined) return undefined;
  if (parts === '0') return 0;
  if (!FORM.test(parts)) return undefined;
  let nanoseconds = 0;
  for (const [, number, unit] of parts.matchAll(/([\d.]+)([a-zµμ]+)/g)) nanoseconds += Number(number) * UNITS[unit!]!;
  // Go counts whole nanoseconds; 1.1 * 3600 is not 3960.
  nanoseconds = Math.round(nanoseconds);
  return (sign === '-' ? -nanoseconds : nanoseconds) / 1e6;
}
