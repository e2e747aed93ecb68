/** A time as the reader's distance from it; the exact one shows on hover. */

import { now } from '../shell/clock.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const exact = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'short',
});
const day = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' });

/** @param at RFC 3339; null shows `none` */
export function Time({ at, none = '–' }: { at: string | null | undefined; none?: string }) {
  if (at === null || at === undefined) return <span class="muted">{none}</span>;
  const time = Date.parse(at);
  if (Number.isNaN(time)) return <span>{at}</span>;
  return (
    <time dateTime={at} title={exactTime(time)}>
      {relative(time, now.value)}
    </time>
  );
}

/** In the zone of the reader. */
export function exactTime(time: number): string {
  return exact.format(time);
}

/** `in 3 min`, `2 h ago`; the date if it is more than 60 days away. */
export function relative(time: number, from: number): string {
  const distance = time - from;
  const size = Math.abs(distance);
  if (size < 2 * SECOND) return 'now';
  if (size >= 60 * DAY) return day.format(time);
  const text = span(size);
  return distance > 0 ? `in ${text}` : `${text} ago`;
}

/** A length of time in its largest unit, rounded down: `59 s`, `3 min`, `47 h`, `12 d`. */
export function span(ms: number): string {
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < 2 * HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}
