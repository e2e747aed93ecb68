/** The trust domain at a glance: what needs somebody, the authorities, states, and the last events. */

import { useEffect, useState } from 'preact/hooks';
import type { PageCounts, PageEvent, PageFinding, PageOverview } from '../../gen/admin-api.ts';
import {
  Answered,
  Command,
  HostileText,
  Mark,
  Panel,
  SECRET_STATES,
  STATES,
  StateMark,
  Title,
  type Tone,
} from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { onChange } from '../shell/live.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { AuthorityTimeline } from './authority-timeline.tsx';
import { EventList } from './event-list.tsx';
import { FirstEntry, FirstProxy } from './first-steps.tsx';

/** The overview is read again after this time, since findings also come and go without an event, in milliseconds. */
const AGAIN_MS = 20_000;
/** The same while the server is still looking for findings. */
const SOON_MS = 500;
/** Events that are shown. */
const EVENTS = 50;

export function OverviewView() {
  const answer = useAnswer('overview', () => api.getPageOverview(), {
    on: ['entries', 'authorities', 'revocations'],
    when: ({ type }) => type === 'rejected' || type === 'held',
  });
  const { data, reload } = answer;
  useEffect(() => {
    if (data === undefined) return;
    const timer = setTimeout(reload, data.findings === null ? SOON_MS : AGAIN_MS);
    return () => clearTimeout(timer);
  }, [data, reload]);
  return (
    <>
      <Title>Overview</Title>
      <Answered answer={answer}>{(overview) => <Shown overview={overview} />}</Answered>
    </>
  );
}

function Shown({ overview }: { overview: PageOverview }) {
  const { findings, authorities, upstream, cursor } = overview;
  const [counts, setCounts] = useState<PageCounts>(overview.counts);
  const [events, setEvents] = useState<readonly PageEvent[]>(overview.events);
  useEffect(() => {
    setCounts(overview.counts);
    setEvents(overview.events);
    return onChange((change) => {
      if (change.cursor <= cursor) return;
      setCounts(change.counts);
      if (change.events.length > 0) {
        const newest = change.events.toReversed();
        setEvents((before) => [...newest, ...before].slice(0, EVENTS));
      }
    });
  }, [overview]);
  return (
    <div class="overview">
      <div class="column">
        <Panel title="Needs attention" actions={<Worst findings={findings} counts={counts} />}>
          <Findings findings={findings} counts={counts} />
        </Panel>
        <Panel title="Authorities" class="authorities" actions={<a href={href('/trust')}>Trust</a>}>
          <AuthorityTimeline authorities={authorities} upstream={upstream} />
        </Panel>
      </div>
      <div class="column">
        <Panel title="Proxies and secrets" actions={<a href={href('/proxies')}>All proxies</a>}>
          <States counts={counts} entries={overview.entries} />
          {overview.entries === 0 ? <FirstEntry /> : total(counts.proxies) === 0 && <FirstProxy />}
        </Panel>
        <Panel title="Last events" class="last-events">
          <EventList events={events} />
        </Panel>
      </div>
    </div>
  );
}

const TONES: Readonly<Record<PageFinding['severity'], Tone>> = { error: 'bad', warning: 'warn', info: 'off' };

interface AttentionProps {
  readonly findings: PageOverview['findings'];
  readonly counts: PageCounts;
}

/** States of proxies that `sidekey proxies --check` reports. */
const TROUBLES = [
  {
    state: 'rejected',
    severity: 'error',
    one: 'proxy rejects what it is sent',
    many: 'proxies reject what they are sent',
  },
  { state: 'stale', severity: 'warning', one: 'proxy does not answer', many: 'proxies do not answer' },
  { state: 'held', severity: 'info', one: 'proxy waits for a secret', many: 'proxies wait for a secret' },
] as const;

function Worst({ findings, counts }: AttentionProps) {
  const all = [...(findings?.list ?? []), ...TROUBLES.filter(({ state }) => (counts.proxies[state] ?? 0) > 0)];
  const [errors, warnings] = ['error', 'warning'].map((one) => all.filter(({ severity }) => severity === one).length);
  if (errors! > 0) return <Mark tone="bad">{errors === 1 ? '1 error' : `${errors} errors`}</Mark>;
  if (warnings! > 0) return <Mark tone="warn">{warnings === 1 ? '1 warning' : `${warnings} warnings`}</Mark>;
  if (findings === null) return <Mark tone="busy">looking</Mark>;
  return <Mark tone="good">all is well</Mark>;
}

function Findings({ findings, counts }: AttentionProps) {
  const troubles = TROUBLES.filter(({ state }) => (counts.proxies[state] ?? 0) > 0);
  const list = findings?.list ?? [];
  const more = findings?.more ?? 0;
  if (list.length + troubles.length === 0)
    return (
      <p class="muted">
        {findings === null
          ? 'The server is looking for faults.'
          : 'The server finds no fault in itself, its entries and its proxies. On its host, '}
        {findings !== null && (
          <>
            <code>sidekey doctor</code> also looks at files and Envoys.
          </>
        )}
      </p>
    );
  return (
    <ul class="finding-list">
      {troubles.map(({ state, severity, one, many }) => (
        <li key={state} class={TONES[severity]}>
          <Mark tone={TONES[severity]}>{severity}</Mark>{' '}
          <a href={href('/proxies', { state })}>
            <b>
              {number(counts.proxies[state] ?? 0)} {counts.proxies[state] === 1 ? one : many}
            </b>
          </a>
        </li>
      ))}
      {list.map(({ rule, severity, place, problem, why, fix, command }) => (
        <li key={`${rule} ${place}`} class={TONES[severity]}>
          <details open={severity === 'error'}>
            <summary>
              <Mark tone={TONES[severity]}>{severity}</Mark>{' '}
              <b>
                <HostileText text={problem} />
              </b>
            </summary>
            <p class="muted">
              <HostileText text={place} /> <code>{rule}</code>
            </p>
            <p>
              <HostileText text={why} />
            </p>
            <p>
              <HostileText text={fix} />
            </p>
            {command !== undefined && <Command text={command} />}
          </details>
        </li>
      ))}
      {more > 0 && (
        <li class="off">
          and {more} more: <code>sidekey doctor</code> lists all
        </li>
      )}
    </ul>
  );
}

/** Counts by state, each with the way to the proxies in question. */
function States({ counts: { proxies, secrets, streams }, entries }: { counts: PageCounts; entries: number }) {
  const [allProxies, allSecrets] = [total(proxies), total(secrets)];
  return (
    <>
      <p class="totals">
        <b>{number(allProxies)}</b> {allProxies === 1 ? 'proxy' : 'proxies'} <b>{number(streams)}</b>{' '}
        {streams === 1 ? 'stream' : 'streams'} <b>{number(allSecrets)}</b> {allSecrets === 1 ? 'secret' : 'secrets'}{' '}
        <a href={href('/entries')}>
          <b>{number(entries)}</b> {entries === 1 ? 'entry' : 'entries'}
        </a>
      </p>
      <table class="counts" aria-label="Counts by state">
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col" class="numeric">
              Proxies
            </th>
            <th scope="col" class="numeric">
              Secrets
            </th>
            <td />
          </tr>
        </thead>
        <tbody>
          {SECRET_STATES.map((state) => {
            const [some, of] = [secrets[state] ?? 0, Math.max(1, allSecrets)];
            return (
              <tr key={state} class={some === 0 ? 'none' : ''}>
                <th scope="row" title={STATES[state].means}>
                  <StateMark state={state} />
                </th>
                <td class="numeric">
                  {(proxies[state] ?? 0) === 0 ? (
                    0
                  ) : (
                    <a href={href('/proxies', { state })}>{number(proxies[state] ?? 0)}</a>
                  )}
                </td>
                <td class="numeric">{number(some)}</td>
                <td class={`share ${STATES[state].tone}`}>
                  <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                    <rect width={(100 * some) / of} height="6" />
                  </svg>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function number(count: number): string {
  return count.toLocaleString('en');
}
