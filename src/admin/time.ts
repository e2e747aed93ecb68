/** An instant in milliseconds since the epoch as RFC 3339. */
export function time(instant: number): string {
  return new Date(instant).toISOString();
}

export function maybeTime(instant: number | undefined): string | null {
  return instant === undefined ? null : time(instant);
}
