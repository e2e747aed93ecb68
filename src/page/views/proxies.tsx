/** Every proxy in a table that follows the server; filters and order stand in the address. */

import { useMemo } from 'preact/hooks';
import type { ProxyRow } from '../../gen/admin-api.ts';
import { allProxies, readProxies } from '../data/proxies.ts';
import {
  compareExpiry,
  compareNode,
  compareOwner,
  comparePid,
  compareSecrets,
  compareState,
  compareVersion,
  countByState,
  filterOf,
  isFiltered,
  PROXY_STATES,
  type ProxyFilter,
  passes,
  secretsOf,
} from '../data/proxy-filter.ts';
import type { ProxyState, SecretState } from '../data/wire.ts';
import {
  type Column,
  DataTable,
  EmptyState,
  ErrorNote,
  ExpiryBar,
  HostileText,
  Icon,
  Loading,
  SearchField,
  type Sort,
  STATES,
  StateMark,
  Title,
} from '../parts/index.ts';
import { href, setQuery } from '../shell/router.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { FirstProxy } from './first-steps.tsx';

const COLUMNS: readonly Column<ProxyRow>[] = [
  {
    key: 'node',
    title: 'Node',
    width: 9,
    grow: 1,
    compare: compareNode,
    isLink: true,
    cell: ({ node_id: node }) =>
      node === null ? <span class="muted">no node id</span> : <HostileText text={node} short />,
  },
  {
    key: 'state',
    title: 'State',
    width: 7.5,
    compare: compareState,
    cell: ({ state, secrets }) => (
      <>
        <StateMark state={state} />
        {state !== 'none' && <Share state={state} secrets={secrets} />}
      </>
    ),
  },
  {
    key: 'identity',
    title: 'Identity or problem',
    width: 16,
    grow: 2,
    rank: 4,
    cell: ({ spiffe_id: id, spiffe_ids: ids, problem }) => <Identity id={id} ids={ids} problem={problem} />,
  },
  { key: 'pid', title: 'PID', width: 6, rank: 5, numeric: true, compare: comparePid, cell: ({ pid }) => pid || '?' },
  { key: 'uid', title: 'UID', width: 5, rank: 7, numeric: true, cell: ({ uid }) => uid },
  {
    key: 'owner',
    title: 'Owner',
    width: 12,
    grow: 1,
    rank: 6,
    compare: compareOwner,
    cell: ({ owner }) => <HostileText text={owner} short />,
  },
  {
    key: 'version',
    title: 'Envoy',
    width: 6,
    rank: 8,
    compare: compareVersion,
    cell: ({ envoy_version: version }) =>
      version === null ? <span class="muted">–</span> : <HostileText text={version} short />,
  },
  {
    key: 'secrets',
    title: 'Secrets',
    width: 6,
    rank: 3,
    numeric: true,
    compare: compareSecrets,
    cell: (row) => secretsOf(row),
  },
  {
    key: 'expires',
    title: 'Certificate ends',
    width: 12,
    rank: 2,
    compare: compareExpiry,
    cell: ({ not_before: from, expires_at: to }) => <ExpiryBar from={from} to={to} />,
  },
];

function Identity({ id, ids, problem }: { id: string | null; ids: number; problem: string | null }) {
  if (problem !== null) return <HostileText text={problem} short />;
  if (id === null) return <span class="muted">–</span>;
  return <HostileText text={ids > 1 ? `${id} and ${ids - 1} more` : id} short />;
}

/** Of several secrets, how many are in the worst state. */
function Share({ state, secrets }: { state: SecretState; secrets: ProxyRow['secrets'] }) {
  const total = secretsOf({ secrets });
  const some = secrets[state] ?? 0;
  if (some === total) return null;
  return (
    <span class="muted">
      {' '}
      {some}/{total}
    </span>
  );
}

export function ProxiesView({ query }: ViewProps) {
  const { rows, error } = allProxies().value;
  const filter = filterOf(query);
  const sort = sortOf(query);
  const address = query.toString();
  const shown = useMemo(() => shownOf(rows ?? [], filter, sort), [rows, address]);
  const counts = useMemo(() => countByState(rows ?? []), [rows]);
  return (
    <>
      <Title>Proxies</Title>
      {error !== undefined && <ErrorNote error={error} onRetry={() => void readProxies()} />}
      {rows === undefined ? (
        error === undefined && <Loading />
      ) : rows.length === 0 ? (
        <FirstProxy />
      ) : (
        <>
          <Filters filter={filter} counts={counts} shown={shown.length} all={rows.length} />
          {shown.length === 0 ? (
            <EmptyState title="No proxy matches the filters">
              <p>
                <a href={href('/proxies')}>Show all {rows.length.toLocaleString('en')}</a>
              </p>
            </EmptyState>
          ) : (
            <DataTable
              label="Proxies"
              rows={shown}
              rowKey={idOf}
              columns={COLUMNS}
              rowHref={hrefOf}
              sort={sort}
              onSort={({ key, down }) => setQuery({ sort: key, order: down ? 'down' : undefined })}
              memory="proxies"
            />
          )}
        </>
      )}
    </>
  );
}

const idOf = ({ connection }: ProxyRow): string => connection;
const hrefOf = ({ connection }: ProxyRow): string => href(`/proxies/${encodeURIComponent(connection)}`);

/** Undefined: in the order of the server, the oldest connection first, which does not move while one reads. */
function sortOf(query: URLSearchParams): Sort | undefined {
  const key = query.get('sort');
  if (!COLUMNS.some((column) => column.key === key && column.compare !== undefined)) return undefined;
  return { key: key!, down: query.get('order') === 'down' };
}

function shownOf(rows: readonly ProxyRow[], filter: ProxyFilter, sort: Sort | undefined): readonly ProxyRow[] {
  const passing = isFiltered(filter) ? rows.filter((row) => passes(row, filter)) : rows;
  const compare = COLUMNS.find(({ key }) => key === sort?.key)?.compare;
  if (compare === undefined || sort === undefined) return passing;
  return passing.toSorted(sort.down ? (a, b) => compare(b, a) : compare);
}

interface FiltersProps {
  readonly filter: ProxyFilter;
  readonly counts: Readonly<Record<ProxyState, number>>;
  readonly shown: number;
  readonly all: number;
}

function Filters({ filter, counts, shown, all }: FiltersProps) {
  const { states, text, uid, node } = filter;
  const toggle = (state: ProxyState) =>
    setQuery({ state: states.includes(state) ? states.filter((one) => one !== state) : [...states, state] });
  return (
    <search class="filters">
      <SearchField
        label="Search proxies"
        placeholder="Node, SPIFFE ID, owner, PID, problem"
        value={text}
        onChange={(q) => setQuery({ q })}
      />
      <fieldset class="chips">
        <legend class="unseen-label">State</legend>
        {PROXY_STATES.filter((state) => state !== 'none' || counts.none > 0).map((state) => (
          <label key={state} class="chip" title={state === 'none' ? undefined : STATES[state].means}>
            <input type="checkbox" checked={states.includes(state)} onChange={() => toggle(state)} />
            <StateMark state={state} /> <span class="count">{counts[state].toLocaleString('en')}</span>
          </label>
        ))}
      </fieldset>
      {uid !== undefined && <Removable name="uid" value={String(uid)} />}
      {node !== undefined && <Removable name="node" value={node} />}
      <p class="muted shown" role="status">
        {shown === all ? all.toLocaleString('en') : `${shown.toLocaleString('en')} of ${all.toLocaleString('en')}`}
        {all === 1 ? ' proxy' : ' proxies'}
      </p>
    </search>
  );
}

/** A filter that only links set. */
function Removable({ name, value }: { name: 'uid' | 'node'; value: string }) {
  return (
    <button type="button" class="chip" onClick={() => setQuery({ [name]: undefined })} title="Remove this filter">
      {name} <HostileText text={value} cut={40} /> <Icon name="close" />
    </button>
  );
}
