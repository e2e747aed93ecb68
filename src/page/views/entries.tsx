/** All entries: which processes get which SPIFFE ID. Filters stand in the address. */

import type { Entry } from '../../gen/admin-api.ts';
import { selectorText } from '../data/entries.ts';
import {
  type Column,
  DataTable,
  EmptyState,
  ErrorNote,
  FilterField,
  HostileText,
  Loading,
  Mark,
  Pager,
  Time,
  Title,
} from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { now } from '../shell/clock.ts';
import { href, setQuery } from '../shell/router.ts';
import { can } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { useKept } from '../shell/use-kept.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { FirstEntry } from './first-steps.tsx';

/** Entries of one page. */
const PAGE = 500;
/** A page of a search may be short before the last one: at most that many are read for one page here. */
const READINGS = 20;

const FILTERS = ['search', 'spiffe_id', 'selector', 'hint', 'source'] as const;

export function EntriesView({ query }: ViewProps) {
  const answer = useKept(
    useAnswer(`${query}`, () => readPage(query), {
      on: ['entries'],
    }),
  );
  const { data, error, loading, reload } = answer;
  const isFiltered = FILTERS.some((name) => query.has(name));
  const problems = error instanceof ApiError ? error.problems : [];
  const problemOf = (name: string) => problems.find(({ path }) => path === `?${name}`)?.problem;
  const isBeside = problems.length > 0 && problems.every(({ path }) => path === '?search' || path === '?source');
  return (
    <>
      <Title
        actions={
          can('entries') && (
            <a class="button primary" href={href('/entries/+new')}>
              New entry
            </a>
          )
        }
      >
        Entries
      </Title>
      <search class="filters entry-filters">
        <FilterField
          name="search"
          label="Search"
          placeholder="SPIFFE ID, selector, hint, DNS name, entry ID"
          error={problemOf('search')}
        />
        <FilterField name="source" label="Source" placeholder="any" choices={['api', 'file']} />
        <Exact query={query} />
        {data !== undefined && <Shown count={data.entries.length} isAll={data.next === '' && !query.has('cursor')} />}
      </search>
      {error !== undefined && !loading && !isBeside && <ErrorNote error={error} onRetry={reload} />}
      {data === undefined ? (
        (error === undefined || loading) && <Loading />
      ) : data.entries.length > 0 ? (
        <DataTable
          label="Entries"
          rows={data.entries}
          rowKey={({ id }) => id}
          columns={COLUMNS}
          rowHref={({ id }) => href(`/entries/${encodeURIComponent(id)}`)}
          memory={`entries ${query}`}
        />
      ) : isFiltered || query.has('cursor') ? (
        <EmptyState title="No entry matches">
          <p>
            <button type="button" onClick={() => setQuery(NO_FILTERS)}>
              Show all entries
            </button>
          </p>
        </EmptyState>
      ) : (
        <FirstEntry />
      )}
      {data !== undefined && <Pager what="entries" next={data.next} />}
    </>
  );
}

const NO_FILTERS = Object.fromEntries([...FILTERS, 'cursor'].map((name) => [name, undefined]));

interface EntryList {
  readonly entries: readonly Entry[];
  readonly next: string;
}

/** Reads until the page is full, or everything has been looked at. */
async function readPage(query: URLSearchParams): Promise<EntryList> {
  const text = (name: string) => query.get(name) ?? undefined;
  const filter = {
    search: text('search'),
    spiffe_id: text('spiffe_id'),
    selector: query.getAll('selector'),
    hint: text('hint'),
    source: text('source'),
  };
  const entries: Entry[] = [];
  let cursor = text('cursor');
  for (let reading = 0; reading < READINGS; reading += 1) {
    const page = await api.listEntries({ query: { ...filter, limit: PAGE - entries.length, cursor } });
    entries.push(...page.entries);
    cursor = page.next_cursor;
    if (cursor === '' || entries.length === PAGE) break;
  }
  return { entries, next: cursor ?? '' };
}

/** Filters that links of other views set. */
function Exact({ query }: { query: URLSearchParams }) {
  const set = (['spiffe_id', 'selector', 'hint'] as const).flatMap((name) =>
    query.getAll(name).map((value) => ({ name, value })),
  );
  if (set.length === 0) return null;
  return (
    <ul class="selectors">
      {set.map(({ name, value }) => (
        <li key={`${name} ${value}`}>
          <HostileText text={value} cut={120} />
          <button
            type="button"
            class="quiet small"
            onClick={() => setQuery({ [name]: query.getAll(name).filter((one) => one !== value), cursor: undefined })}
          >
            Remove<span class="unseen-label"> the filter {value}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Shown({ count, isAll }: { count: number; isAll: boolean }) {
  return (
    <p class="shown muted" role="status">
      {count === 1 ? '1 entry' : `${count.toLocaleString('en')} entries`}
      {!isAll && ' on this page'}
    </p>
  );
}

const COLUMNS: readonly Column<Entry>[] = [
  {
    key: 'spiffe_id',
    title: 'SPIFFE ID',
    width: 16,
    grow: 2,
    isLink: true,
    cell: ({ spiffe_id: id }) => <HostileText text={id} short />,
  },
  {
    key: 'selectors',
    title: 'Selectors',
    width: 14,
    grow: 2,
    rank: 5,
    cell: ({ selectors }) => <HostileText text={selectors.map(selectorText).join('  ')} short />,
  },
  {
    key: 'hint',
    title: 'Hint',
    width: 7,
    rank: 6,
    cell: ({ hint }) => (hint === '' ? <span class="muted">–</span> : <HostileText text={hint} short />),
  },
  { key: 'source', title: 'Source', width: 6, rank: 4, cell: ({ source }) => <HostileText text={source} short /> },
  {
    key: 'expires',
    title: 'Expires',
    width: 8,
    rank: 3,
    cell: ({ expires_at: at }) =>
      at !== null && Date.parse(at) <= now.value ? <Mark tone="warn">expired</Mark> : <Time at={at} none="never" />,
  },
  { key: 'updated', title: 'Changed', width: 8, rank: 2, cell: ({ updated_at: at }) => <Time at={at} /> },
];
