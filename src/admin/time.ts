import type { Problem } from '../base/index.ts';
import { parseRfc3339 } from '../registry/index.ts';

/** An instant in milliseconds since the epoch as RFC 3339. */
export function time(instant: number): string {
  return new Date(instant).toISOString();
}

export function maybeTime(instant: number | undefined): string | null {
  return instant === undefined ? null : time(instant);
}

const INSTANT_RULE = 'give a date and time as in RFC 3339, such as 2026-06-01T12:00:00Z';

/** Reads an instant of a query, in milliseconds since the epoch; undefined if it is not given, or is none. */
export function readInstant(text: string | undefined, path: string, problems: Problem[]): number | undefined {
  const value = text === undefined ? undefined : parseRfc3339(text);
  if (text !== undefined && value === undefined) {
    problems.push({ path, problem: `it is ${JSON.stringify(text)}`, rule: INSTANT_RULE });
  }
  return value;
}
