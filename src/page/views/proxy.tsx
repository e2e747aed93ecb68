/** One proxy: who it is, its secrets with their versions, what was sent and answered, and decisions about it. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Decision } from '../../gen/admin-api.ts';
import { type Delivery, deliveriesOf } from '../data/deliveries.ts';
import { allProxies } from '../data/proxies.ts';
import type { ProxyReport, Secret } from '../data/wire.ts';
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
import { api } from '../shell/api.ts';
import { setClock } from '../shell/clock.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { eventWord } from './event-words.tsx';

export function ProxyView({ params }: ViewProps) {
  const connection = params.id!;
  // The row of the table changes with each change of the proxy.
  const { rows } = allProxies().value;
  const row = rows?.find((one) => one.connection === connection);
  const answer = useAnswer(`proxy ${connection}`, () => readProxy(connection));
  const [last, setLast] = useState<Known>();
  const { data, loading, reload } = answer;
  const seen = useRef(row);
  useEffect(() => {
    if (seen.current === row) return;
    seen.current = row;
    reload();
  }, [row, reload]);
  useEffect(() => {
    if (data?.proxy === undefined) return;
    const { proxy } = data;
    setLast((before) => ({ proxy, deliveries: deliveriesOf(proxy, before?.deliveries ?? []) }));
  }, [data]);
  const isGone = data !== undefined && data.proxy === undefined;
  if (last !== undefined) return <Details {...last} isGone={isGone && !loading} />;
  if (isGone) return <Gone />;
  return <Answered answer={answer}>{() => null}</Answered>;
}

interface Known {
  readonly proxy: ProxyReport;
  readonly deliveries: readonly Delivery[];
}

/** The proxy is undefined if there is no such connection. */
async function readProxy(connection: string): Promise<{ readonly proxy: ProxyReport | undefined }> {
  const { proxies, at } = await api.listProxies({ query: { connection } });
  setClock(at);
  return { proxy: proxies[0] };
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

function Details({ proxy, deliveries, isGone }: Known & { isGone: boolean }) {
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
          <Deliveries deliveries={deliveries} />
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

/** Newest first. */
function Deliveries({ deliveries }: { deliveries: readonly Delivery[] }) {
  return (
    <>
      <p class="muted">The last of each secret, and all that happens while this page is open.</p>
      <ol class="events">
        {deliveries.map(({ at, type, stream, name, detail }) => (
          <li key={`${at} ${type} ${stream} ${name}`}>
            <Time at={at} />
            {eventWord(type)}
            <span>
              {name === undefined ? `stream ${stream}` : <HostileText text={name} cut={120} />}{' '}
              {detail !== undefined && (
                <span class={type === 'sent' || type === 'acked' ? 'muted mono' : 'muted'}>
                  <HostileText text={detail} lines={type === 'rejected'} />
                </span>
              )}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

function Decisions({ connection }: { connection: string }) {
  const answer = useAnswer(connection, () => api.listDecisions({ query: { connection, limit: 50 } }), {
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
