/** Every proxy in a table that follows the server; filters and order stand in the address. */

import { useMemo } from 'preact/hooks';
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
  type ProxyFilter,
  passes,
  secretsOf,
} from '../data/proxy-filter.ts';
import type { ProxyRow, SecretState } from '../data/wire.ts';
import {
  type Column,
  DataTable,
  EmptyState,
  ErrorNote,
  ExpiryBar,
  HostileText,
  Icon,
  Loading,
  SECRET_STATES,
  SearchField,
  type Sort,
  STATES,
  StateMark,
  Title,
} from '../parts/index.ts';
import { href, setQuery } from '../shell/router.ts';
import type { ViewProps } from '../shell/routes.ts';
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
    cell: ({ state, counts }) => (
      <>
        <StateMark state={state} />
        {state !== 'none' && secretsOf({ counts } as ProxyRow) > 1 && <Share state={state} counts={counts} />}
      </>
    ),
  },
  { key: 'pid', title: 'PID', width: 6, rank: 4, numeric: true, compare: comparePid, cell: ({ pid }) => pid || '?' },
  { key: 'uid', title: 'UID', width: 5, rank: 6, numeric: true, cell: ({ uid }) => uid },
  {
    key: 'owner',
    title: 'Owner',
    width: 12,
    grow: 1,
    rank: 5,
    compare: compareOwner,
    cell: ({ owner }) => <HostileText text={owner} short />,
  },
  {
    key: 'version',
    title: 'Envoy',
    width: 6,
    rank: 7,
    compare: compareVersion,
    cell: ({ version }) => (version === null ? <span class="muted">–</span> : <HostileText text={version} short />),
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

/** Of several secrets, how many are in the state that is named. */
function Share({ state, counts }: { state: SecretState; counts: ProxyRow['counts'] }) {
  const total = secretsOf({ counts } as ProxyRow);
  const some = counts[state] ?? 0;
  return some === total ? null : (
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

const idOf = ({ id }: ProxyRow): string => id;
const hrefOf = ({ id }: ProxyRow): string => href(`/proxies/${encodeURIComponent(id)}`);

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
  readonly counts: Readonly<Record<SecretState, number>>;
  readonly shown: number;
  readonly all: number;
}

function Filters({ filter, counts, shown, all }: FiltersProps) {
  const { states, text, uid, node } = filter;
  const toggle = (state: SecretState) =>
    setQuery({ state: states.includes(state) ? states.filter((one) => one !== state) : [...states, state] });
  return (
    <search class="filters">
      <SearchField
        label="Search proxies"
        placeholder="Node, cluster, owner, PID, version"
        value={text}
        onChange={(q) => setQuery({ q })}
      />
      <fieldset class="chips">
        <legend class="unseen-label">With a secret that is</legend>
        {SECRET_STATES.map((state) => (
          <label key={state} class="chip" title={STATES[state].means}>
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
