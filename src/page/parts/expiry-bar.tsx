/** What is left of the life of a certificate, as a bar and in words. */

import { now } from '../shell/clock.ts';
import { Time } from './time.tsx';

const WIDTH = 48;
const HEIGHT = 6;
/** SVIDs are renewed at half their life, so with less than a third left the renewal is overdue. */
const LATE = 1 / 3;

/** @param from when it began, RFC 3339 @param to when it ends */
export function ExpiryBar({ from, to }: { from: string | null; to: string | null }) {
  if (to === null) return <span class="muted">–</span>;
  const share = from === null ? undefined : shareLeft(Date.parse(from), Date.parse(to), now.value);
  const tone = share === undefined ? 'off' : share <= 0 ? 'bad' : share < LATE ? 'warn' : 'good';
  return (
    <span class={`expiry ${tone}`}>
      {share !== undefined && (
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} aria-hidden="true" focusable="false">
          <rect class="track" width={WIDTH} height={HEIGHT} rx="2" />
          <rect class="left" width={(WIDTH * share).toFixed(1)} height={HEIGHT} rx="2" />
        </svg>
      )}
      {share !== undefined && share <= 0 ? <b>ended </b> : null}
      <Time at={to} />
    </span>
  );
}

function shareLeft(from: number, to: number, at: number): number {
  const share = (to - at) / Math.max(1, to - from);
  return Math.min(1, Math.max(0, share));
}
