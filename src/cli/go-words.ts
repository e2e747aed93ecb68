/** Values as Go programs print them, for commands that answer as `spire-agent` does. */

const [MINUTE, HOUR] = [60e9, 3_600e9];

/** A duration in nanoseconds as Go's time.Duration prints it: `1.5ms`, `2m3.25s`. */
export function formatGoDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  for (const [unit, size, below] of [
    ['ns', 1, 1e3],
    ['µs', 1e3, 1e6],
    ['ms', 1e6, 1e9],
  ] as const) {
    if (nanoseconds < below) return `${decimal(nanoseconds, size)}${unit}`;
  }
  const hours = Math.floor(nanoseconds / HOUR);
  const minutes = Math.floor((nanoseconds % HOUR) / MINUTE);
  const seconds = `${decimal(nanoseconds % MINUTE, 1e9)}s`;
  return hours > 0 ? `${hours}h${minutes}m${seconds}` : minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** The quotient with as many digits as it has, without the rounding of floating point numbers. */
function decimal(value: number, size: number): string {
  const whole = Math.floor(value / size);
  const digits = String(value % size)
    .padStart(Math.log10(size), '0')
    .replace(/0+$/, '');
  return digits === '' ? `${whole}` : `${whole}.${digits}`;
}

/** A time as Go prints it in UTC: `2026-01-02 03:04:05 +0000 UTC`. Certificates have whole seconds. */
export function formatGoTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
}

/** A text in quotes, as Go's %q writes it. */
export function goQuoted(text: string): string {
  return JSON.stringify(text);
}

/** JSON as spire-agent writes it: members sorted by name, without null, and `<`, `>` and `&` escaped. */
export function goJson(value: unknown): string {
  return sortedJson(value, (one) => one !== null).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** JSON with members sorted by name. @param isKept false: the value is left out of its object or list */
export function sortedJson(value: unknown, isKept: (value: unknown) => boolean = () => true): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const encode = (one: unknown) => sortedJson(one, isKept);
  if (Array.isArray(value)) return `[${value.filter(isKept).map(encode).join(',')}]`;
  const members = Object.entries(value).filter(([, member]) => isKept(member));
  members.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${encode(member)}`).join(',')}}`;
}
