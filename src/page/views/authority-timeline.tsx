/**
 * Authorities on a line of time. The line is logarithmic on both sides of now, because a root lives for years and an
 * intermediate or a JWT key for hours.
 */

import type { Authority, Upstream } from '../../gen/admin-api.ts';
import { HostileText, Mark, span, Time, type Tone } from '../parts/index.ts';
import { now } from '../shell/clock.ts';

export const AUTHORITY_TONES: Readonly<Record<Authority['state'], Tone>> = {
  active: 'good',
  published: 'busy',
  prepared: 'off',
  retired: 'off',
  carried: 'busy',
  tainted: 'bad',
};

const MEANINGS: Readonly<Record<Authority['state'], string>> = {
  active: 'signs',
  published: 'is in the bundle, and signs next',
  prepared: 'is not in the bundle yet',
  retired: 'signs nothing any more; its certificates are still accepted',
  carried: 'of another server of this trust domain; its certificates are accepted',
  tainted: 'its key may have leaked',
};

const ROLES: Readonly<Record<Authority['role'], string>> = {
  root: 'Root',
  intermediate: 'Intermediate',
  jwt: 'JWT key',
};

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Below this the line is nearly linear. */
const UNIT = 20 * MINUTE;
/** The share of the line that lies before now. */
const PAST = 0.3;
const TICKS = [HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY, 3_650 * DAY];

/** Places of times on the line, from 0 to 1. */
interface Line {
  readonly now: number;
  readonly back: number;
  readonly ahead: number;
}

function placeOf(time: number, { now, back, ahead }: Line): number {
  const distance = time - now;
  const most = distance < 0 ? back : ahead;
  const share = Math.log1p(Math.min(Math.abs(distance), most) / UNIT) / Math.log1p(most / UNIT);
  return distance < 0 ? PAST * (1 - share) : PAST + (1 - PAST) * share;
}

export function AuthorityTimeline(props: { authorities: readonly Authority[]; upstream: Upstream | null }) {
  const { authorities, upstream } = props;
  // A minute more or less moves nothing that one could see.
  const at = Math.floor(now.value / MINUTE) * MINUTE;
  const line: Line = {
    now: at,
    back: Math.max(HOUR, ...authorities.map(({ not_before: from }) => at - Date.parse(from))),
    ahead: Math.max(HOUR, ...authorities.map(({ not_after: to }) => Date.parse(to) - at)) * 1.05,
  };
  return (
    <>
      {upstream !== null && <UpstreamNote upstream={upstream} />}
      <div class="timeline">
        <Axis line={line} />
        <ul>
          {authorities.map((authority) => (
            <Line key={`${authority.role} ${authority.id}`} authority={authority} line={line} />
          ))}
        </ul>
      </div>
    </>
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}

function Axis({ line }: { line: Line }) {
  const marks: { place: number; text: string }[] = [{ place: PAST, text: 'now' }];
  for (const sign of [1, -1]) {
    for (const distance of TICKS) {
      if (distance > (sign < 0 ? line.back : line.ahead)) continue;
      const place = placeOf(line.now + sign * distance, line);
      // Texts must not meet.
      if (marks.every((other) => Math.abs(other.place - place) > 0.12))
        marks.push({ place, text: tickText(sign * distance) });
    }
  }
  return (
    <div class="axis" aria-hidden="true">
      {marks.map(({ place, text }) => (
        <span key={text} style={{ left: percent(place) }} class={text === 'now' ? 'now' : place > 0.93 ? 'last' : ''}>
          {text}
        </span>
      ))}
    </div>
  );
}

function tickText(distance: number): string {
  const size = Math.abs(distance);
  const text =
    size >= 365 * DAY
      ? `${size / (365 * DAY)} y`
      : size >= 30 * DAY
        ? '30 d'
        : size === DAY
          ? '1 d'
          : size < DAY
            ? `${size / HOUR} h`
            : span(size);
  return `${distance < 0 ? '−' : '+'}${text}`;
}

function Line({ authority, line }: { authority: Authority; line: Line }) {
  const { id, role, state, not_before: from, not_after: to, signs_after: signs, leaves_at: leaves } = authority;
  const [start, end] = [placeOf(Date.parse(from), line), placeOf(Date.parse(to), line)];
  const next = signs ?? leaves;
  return (
    <li>
      <div class="who">
        <b>{ROLES[role]}</b> <Mark tone={AUTHORITY_TONES[state]}>{state}</Mark>
        <span class="mono muted" title={id}>
          {id.slice(0, 16)}
        </span>
      </div>
      <svg
        class={`life ${AUTHORITY_TONES[state]}`}
        viewBox="0 0 1000 12"
        preserveAspectRatio="none"
        aria-hidden="true"
        focusable="false"
      >
        <rect class="track" x="0" y="5.5" width="1000" height="1" />
        <rect class="span" x={1000 * start} y="2" width={Math.max(3, 1000 * (end - start))} height="8" />
        {next !== null && (
          <rect class="next" x={1000 * placeOf(Date.parse(next), line) - 1.5} y="0" width="3" height="12" />
        )}
        <rect class="now" x={1000 * PAST - 0.75} y="0" width="1.5" height="12" />
      </svg>
      <p class="text">
        <span class="muted">{MEANINGS[state]}</span>; ends <Time at={to} />
        <Waits authority={authority} />
      </p>
    </li>
  );
}

/** What a rotation waits for. */
function Waits({
  authority: { role, state, signs_after: signs, leaves_at: leaves, waits_for: proxies },
}: {
  authority: Authority;
}) {
  return (
    <>
      {signs !== null && (
        <>
          ; signs <Time at={signs} />
          {role === 'root' && ', if all proxies have acknowledged the bundle with it by then'}
        </>
      )}
      {leaves !== null && (
        <>
          ; leaves the bundle <Time at={leaves} />
        </>
      )}
      {proxies.length > 0 && (
        <details>
          <summary>
            {state === 'tainted' ? 'May still be used by ' : 'Waits for '}
            {proxies.length === 100
              ? 'at least 100 proxies'
              : proxies.length === 1
                ? '1 proxy'
                : `${proxies.length} proxies`}
          </summary>
          <ul>
            {proxies.map(({ pid, uid, node_id: node, name, rejection }) => (
              <li key={`${pid} ${name}`}>
                {node === null ? `process ${pid}` : <HostileText text={node} cut={80} />}{' '}
                <span class="muted">
                  (pid {pid}, uid {uid})
                </span>{' '}
                <HostileText text={name} cut={120} />
                {rejection !== null && (
                  <>
                    {' '}
                    <Mark tone="bad">rejected</Mark> <HostileText text={rejection} />
                  </>
                )}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

function UpstreamNote({ upstream: { kind, description, problem } }: { upstream: Upstream }) {
  return (
    <p class={problem === null ? 'muted' : 'note warn'}>
      The intermediate is signed by {kind}: <HostileText text={description} />
      {problem !== null && (
        <>
          . <b>It cannot sign now:</b> <HostileText text={problem} />
        </>
      )}
    </p>
  );
}
