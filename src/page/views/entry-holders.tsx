/** The proxies that ask for the SPIFFE ID of an entry now, and whether they have it. */

import type { ProxyPage } from '../../gen/admin-api.ts';
import { Answered, type Column, HostileText, SimpleTable, StateMark } from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';

/** Listed proxies. */
const MOST = 50;

type Proxy = ProxyPage['proxies'][number];
interface Holder {
  readonly proxy: Proxy;
  readonly secret: Proxy['streams'][number]['secrets'][number];
}

export function Holders({ spiffeId }: { spiffeId: string }) {
  const answer = useAnswer(spiffeId, () => api.listProxies({ query: { spiffe_id: spiffeId, limit: MOST } }), {
    on: ['entries', 'issuances', 'revocations'],
    when: ({ type }) => type === 'stream_opened' || type === 'stream_closed' || type === 'held' || type === 'removed',
  });
  return (
    <Answered answer={answer}>
      {({ proxies, next_cursor: next }) => {
        const holders = proxies.flatMap((proxy) =>
          proxy.streams.flatMap(({ secrets }) => secrets.map((secret): Holder => ({ proxy, secret }))),
        );
        if (holders.length === 0) return <p class="muted">No connected proxy asks for it.</p>;
        return (
          <>
            <SimpleTable
              label="Proxies that ask for it"
              rows={holders}
              rowKey={({ proxy, secret }) => `${proxy.connection} ${secret.name}`}
              columns={COLUMNS}
            />
            {next !== '' && <p class="muted">And more: these are the first {MOST} proxies.</p>}
          </>
        );
      }}
    </Answered>
  );
}

const COLUMNS: readonly Column<Holder>[] = [
  {
    key: 'proxy',
    title: 'Proxy',
    width: 12,
    cell: ({ proxy: { connection, node_id: node, pid } }) => (
      <a href={href(`/proxies/${encodeURIComponent(connection)}`)}>
        {node === null ? `process ${pid}` : <HostileText text={node} cut={120} />}
      </a>
    ),
  },
  {
    key: 'who',
    title: 'Caller',
    width: 10,
    cell: ({ proxy: { pid, uid, owner } }) => (
      <>
        pid {pid}, uid {uid}
        <div class="muted">
          <HostileText text={owner} cut={80} />
        </div>
      </>
    ),
  },
  {
    key: 'state',
    title: 'State',
    width: 10,
    cell: ({ proxy: { pid }, secret: { state, spiffe_id: id, held } }) => (
      <>
        <StateMark state={state} />
        {held !== null && pid !== 0 && (
          <div>
            <a
              href={
                held.decision === null
                  ? href('/why', { pid, spiffe_id: id ?? undefined })
                  : href('/why', { decision: held.decision })
              }
            >
              Why
            </a>
          </div>
        )}
      </>
    ),
  },
];
