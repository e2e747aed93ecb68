/** One proxy: who it is, its secrets with their versions, what was sent and answered, and decisions about it. */

import { useEffect, useState } from 'preact/hooks';
import type { Decision } from '../../gen/admin-api.ts';
import { allProxies } from '../data/proxies.ts';
import type { ProxyDetail, ProxyReport, Secret, StreamEvent } from '../data/wire.ts';
import {
  Answered,
  type Column,
  CopyText,
  EmptyState,
  ExpiryBar,
  Fact,
  Facts,
  HostileText,
  Mark,
  Panel,
  SECRET_STATES,
  SimpleTable,
  STATES,
  StateMark,
  Time,
  Title,
} from '../parts/index.ts';
import { ApiError, api, json } from '../shell/api.ts';
import { onChange } from '../shell/live.ts';
import { href } from '../shell/router.ts';
import type { ViewProps } from '../shell/routes.ts';
import { type Answer, useAnswer } from '../shell/use-answer.ts';
import { eventWord } from './event-words.tsx';

/** Events that the list keeps, those that come while it is open included. */
const HISTORY = 200;

export function ProxyView({ params }: ViewProps) {
  const id = params.id!;
  const path = `/v1/page/proxies/${encodeURIComponent(id)}`;
  // The row of the table changes with each change of the proxy.
  const row = allProxies().value.rows?.find((one) => one.id === id);
  const [last, setLast] = useState<ProxyDetail>();
  const answer = useAnswer(path, (signal) => json<ProxyDetail>('GET', path, { signal }));
  const { data, error, reload } = answer;
  useEffect(() => {
    if (last !== undefined) reload();
  }, [row]);
  useEffect(() => {
    if (data !== undefined) setLast(data);
  }, [data]);
  const isGone = error instanceof ApiError && error.status === 404;
  if (isGone && last === undefined) return <Gone />;
  const shown = isGone ? { data: last, error: undefined, loading: false, reload } : answer;
  return (
    <Answered answer={shown as Answer<ProxyDetail>}>
      {({ proxy, history }) => <Details proxy={proxy} history={history} isGone={isGone} />}
    </Answered>
  );
}

function Gone() {
  return (
    <>
      <Title>Proxy</Title>
      <EmptyState title="There is no connection of that name">
        <p>
          It has ended, or was one of another run of the server. A proxy that connects again gets a new name:{' '}
          <a href={href('/proxies')}>all proxies</a>
        </p>
      </EmptyState>
    </>
  );
}

interface DetailsProps {
  readonly proxy: ProxyReport;
  readonly history: readonly StreamEvent[];
  readonly isGone: boolean;
}

function Details({ proxy, history, isGone }: DetailsProps) {
  const { connection, node_id: node, streams } = proxy;
  const secrets = streams.flatMap(({ id, service, variant, secrets }) =>
    secrets.map((secret) => ({ ...secret, stream: id, via: `${service} ${variant}` })),
  );
  const worst = SECRET_STATES.find((state) => secrets.some((one) => one.state === state)) ?? 'none';
  return (
    <>
      <Title>{node === null ? `Process ${proxy.pid}` : <HostileText text={node} cut={120} />}</Title>
      {isGone && (
        <p class="note warn" role="status">
          This connection has ended. What you see is its last state.
        </p>
      )}
      <div class="stack">
        <Panel title="Who it is" actions={isGone ? <Mark tone="off">gone</Mark> : <StateMark state={worst} />}>
          <Who proxy={proxy} />
        </Panel>
        <Panel title="Secrets">
          {secrets.length === 0 ? (
            <p class="muted">It has asked for none.</p>
          ) : (
            <SimpleTable
              label="Secrets"
              rows={secrets}
              rowKey={({ stream, name }) => `${stream} ${name}`}
              columns={SECRET_COLUMNS}
              below={why}
            />
          )}
        </Panel>
        <Panel title="Sent and answered">
          <History connection={connection} before={history} />
        </Panel>
        <Panel title="Decisions">
          <Decisions connection={connection} />
        </Panel>
      </div>
    </>
  );
}

function Who({ proxy }: { proxy: ProxyReport }) {
  const {
    connection,
    pid,
    uid,
    gid,
    owner,
    cluster,
    envoy_version: version,
    selectors,
    node_id: node,
    streams,
  } = proxy;
  return (
    <>
      <Facts>
        <Fact name="PID">{pid === 0 ? 'not visible to the server' : pid}</Fact>
        <Fact name="UID and GID">
          <a href={href('/proxies', { uid })}>{uid}</a> : {gid}
        </Fact>
        <Fact name="Owner">
          <HostileText text={owner} />
        </Fact>
        <Fact name="Node id">{node === null ? '–' : <HostileText text={node} />}</Fact>
        <Fact name="Cluster">{cluster === null ? '–' : <HostileText text={cluster} />}</Fact>
        <Fact name="Envoy">{version === null ? '–' : <HostileText text={version} />}</Fact>
        <Fact name="Connection">
          <CopyText text={connection} what="connection" />
        </Fact>
        <Fact name="Streams">
          {streams.length === 0 ? 'none' : streams.map(({ service, variant }) => `${service} (${variant})`).join(', ')}
        </Fact>
      </Facts>
      <h3 class="spaced">Selectors</h3>
      {selectors.length === 0 ? (
        <p class="muted">None of its facts is a selector.</p>
      ) : (
        <ul class="selectors">
          {selectors.map((selector) => (
            <li key={selector}>
              <HostileText text={selector} />
            </li>
          ))}
        </ul>
      )}
      {pid !== 0 && (
        <p class="spaced">
          <a href={href('/why', { pid })}>Why it has these identities, and why not others</a>
        </p>
      )}
    </>
  );
}

type SecretRow = Secret & { readonly stream: number; readonly via: string };

const SECRET_COLUMNS: readonly Column<SecretRow>[] = [
  { key: 'name', title: 'Name', width: 14, cell: ({ name }) => <HostileText text={name} /> },
  {
    key: 'state',
    title: 'State',
    width: 7,
    cell: ({ state }) => (
      <span title={STATES[state].means}>
        <StateMark state={state} />
      </span>
    ),
  },
  {
    key: 'identity',
    title: 'Identity',
    width: 14,
    cell: ({ spiffe_id: id, serial }) =>
      id === null ? (
        <span class="muted">–</span>
      ) : (
        <>
          <HostileText text={id} />
          {serial !== null && (
            <div class="muted">
              <a href={href('/issuances', { serial })} class="mono">
                {serial}
              </a>
            </div>
          )}
        </>
      ),
  },
  {
    key: 'sent',
    title: 'Sent',
    width: 8,
    cell: ({ version, sent_at: at }) => <Version version={version} at={at} />,
  },
  {
    key: 'acked',
    title: 'Acknowledged',
    width: 8,
    cell: ({ acked, acked_at: at }) => <Version version={acked} at={at} />,
  },
  {
    key: 'expires',
    title: 'Certificate ends',
    width: 11,
    cell: ({ not_before: from, expires_at: to }) => <ExpiryBar from={from} to={to} />,
  },
];

function Version({ version, at }: { version: string | null; at: string | null }) {
  if (version === null) return <span class="muted">–</span>;
  return (
    <>
      <div>
        <Time at={at} none="before this stream" />
      </div>
      <div class="muted mono version" title={version}>
        <HostileText text={version} cut={40} />
      </div>
    </>
  );
}

/** Why a secret is not in sync. */
function why({ held, rejection }: SecretRow) {
  if (held === null && rejection === null) return null;
  return (
    <div class="why-not">
      {held !== null && (
        <p class="note warn">
          <b>{held.reason}</b> since <Time at={held.since} />: <HostileText text={held.detail} />{' '}
          {held.decision !== null && <a href={href('/why', { decision: held.decision })}>Why</a>}
        </p>
      )}
      {rejection !== null && (
        <div class="note bad">
          <p>
            <b>rejected</b> <Time at={rejection.at} />, version{' '}
            <span class="mono">
              <HostileText text={rejection.version} cut={40} />
            </span>
          </p>
          <HostileText text={rejection.message} lines />
        </div>
      )}
    </div>
  );
}

/** The events of a connection, newest first, those that come while one looks included. */
function History({ connection, before }: { connection: string; before: readonly StreamEvent[] }) {
  const [since, setSince] = useState<readonly StreamEvent[]>([]);
  useEffect(
    () =>
      onChange(({ events = [] }) => {
        const mine = events.filter((event): event is StreamEvent => event.connection === connection);
        if (mine.length > 0) setSince((former) => [...mine.toReversed(), ...former].slice(0, HISTORY));
      }),
    [connection],
  );
  const newest = before[0]?.at ?? '';
  // The server's list is read again now and then, and has by then what came meanwhile.
  const all = [...since.filter(({ at }) => at > newest), ...before].slice(0, HISTORY);
  if (all.length === 0) return <p class="muted">Nothing yet.</p>;
  return (
    <ol class="events">
      {all.map((event, index) => (
        <li key={index}>
          <Time at={event.at} />
          {eventWord(event.type)}
          <span>
            {event.names.map((name) => (
              <span key={name} class="name">
                <HostileText text={name} cut={120} />
              </span>
            ))}
            {event.detail !== null && (
              <span class="muted">
                <HostileText text={event.detail} lines={event.type === 'rejected'} />
              </span>
            )}
          </span>
        </li>
      ))}
    </ol>
  );
}

function Decisions({ connection }: { connection: string }) {
  const answer = useAnswer(connection, () => api.listDecisions({ query: { connection, limit: 50 } as object }), {
    on: ['held', 'removed'],
    when: (event) => event.connection === connection,
  });
  return (
    <Answered answer={answer}>
      {({ decisions }) =>
        decisions.length === 0 ? (
          <p class="muted">None in the last day: nothing was refused or held.</p>
        ) : (
          <SimpleTable label="Decisions" rows={decisions} rowKey={({ id }) => id} columns={DECISION_COLUMNS} />
        )
      }
    </Answered>
  );
}

const DECISION_COLUMNS: readonly Column<Decision>[] = [
  { key: 'at', title: 'Time', width: 7, cell: ({ at }) => <Time at={at} /> },
  {
    key: 'kind',
    title: 'Decision',
    width: 8,
    cell: ({ kind, ended_at: ended }) =>
      kind === 'held' && ended !== null ? (
        <Mark tone="off">held before</Mark>
      ) : (
        <Mark tone={kind === 'refused' ? 'bad' : 'warn'}>{kind}</Mark>
      ),
  },
  { key: 'name', title: 'Name', width: 12, cell: ({ name }) => (name === null ? 'any' : <HostileText text={name} />) },
  {
    key: 'why',
    title: 'Reason',
    width: 20,
    cell: ({ reason, detail }) => (
      <>
        <b>{reason}</b> <HostileText text={detail} />
      </>
    ),
  },
  { key: 'id', title: '', width: 5, cell: ({ id }) => <a href={href('/why', { decision: id })}>Why</a> },
];
