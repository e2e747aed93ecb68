/** Durations as text: `90s`, `1h30m`, `7d`, or whole seconds without a unit, as SPIRE has them. Elsewhere they are numbers of seconds. */

const UNITS = { d: 86_400, h: 3_600, m: 60, s: 1 } as const;

export const DURATION_RULE =
  'a duration is whole seconds, or whole numbers with the units d, h, m, s, largest first, such as 90s, 1h30m or 7d';

const PATTERN = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;

/** Parses a duration to seconds; undefined if the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (text === '') return undefined;
  const counts = PATTERN.exec(/^\d+$/.test(text) ? `${text}s` : text)?.slice(1);
  if (counts === undefined) return undefined;
  const seconds = Object.values(UNITS).reduce((sum, unit, at) => sum + Number(counts[at] ?? 0) * unit, 0);
  return Number.isSafeInteger(seconds) ? seconds : undefined;
}

/** Formats whole seconds in the form that {@link parseDuration} reads. */
export function formatDuration(seconds: number): string {
  let rest = seconds;
  let text = '';
  for (const [name, unit] of Object.entries(UNITS)) {
    if (rest >= unit) text += `${Math.floor(rest / unit)}${name}`;
    rest %= unit;
  }
  return text === '' ? '0s' : text;
}
