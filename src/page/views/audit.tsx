/** Who changed what, and what was refused, newest first. */

import type { AuditActor, AuditPage, AuditRow } from '../../gen/admin-api.ts';
import {
  Answered,
  type Column,
  Command,
  CopyText,
  EmptyState,
  Fact,
  Facts,
  FilterField,
  FilterTime,
  HostileText,
  Pager,
  Panel,
  SimpleTable,
  Time,
  Title,
} from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { href, setQuery } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { useKept } from '../shell/use-kept.ts';
import type { ViewProps } from '../shell/view-props.ts';

/** Rows of one page. */
const PAGE = 100;

const FILTERS = ['actor', 'action', 'target', 'spiffe_id', 'serial', 'since', 'until'] as const;

/** The part before the dot stands for all actions of the kind. */
const ACTIONS = [
  'entry',
  'entry.created',
  'entry.changed',
  'entry.deleted',
  'alias',
  'bundle',
  'authority',
  'token',
  'svid.issued',
  'svid.revoked',
  'svid.restored',
  'session',
  'backup.asked',
  'log_level.changed',
  'admin.refused',
  'caller.refused',
  'audit',
];

export function AuditView({ query }: ViewProps) {
  const answer = useKept(
    useAnswer(`${query}`, () => read(query), {
      on: query.has('cursor') ? [] : ['entries', 'revocations', 'authorities'],
    }),
  );
  const problems = answer.error instanceof ApiError ? answer.error.problems : [];
  const problemOf = (name: string) => {
    const found = problems.find(({ path }) => path === `?${name}`);
    return found === undefined ? undefined : `${found.problem}: ${found.rule}`;
  };
  const isBeside = problems.length > 0 && problems.every(({ path }) => FILTERS.some((name) => path === `?${name}`));
  return (
    <>
      <Title
        actions={
          <a class="button" href="/v1/audit?format=jsonl" download="sidekey-audit.jsonl">
            Export all
          </a>
        }
      >
        Audit
      </Title>
      <search class="filter-form">
        <FilterField
          name="actor"
          label="Actor"
          placeholder="unix:0, token:ci, session, server"
          choices={['unix', 'token', 'session', 'stranger', 'caller', 'file', 'server']}
          error={problemOf('actor')}
        />
        <FilterField
          name="action"
          label="Action"
          placeholder="entry.created, or entry"
          choices={ACTIONS}
          error={problemOf('action')}
        />
        <FilterField
          name="target"
          label="Target"
          placeholder="an ID, host or trust domain"
          error={problemOf('target')}
        />
        <FilterField name="spiffe_id" label="SPIFFE ID" error={problemOf('spiffe_id')} />
        <FilterField name="serial" label="Serial number" placeholder="in hex" error={problemOf('serial')} />
        <FilterTime name="since" label="From" error={problemOf('since')} />
        <FilterTime name="until" label="Until" error={problemOf('until')} />
      </search>
      <Answered answer={isBeside ? { ...answer, error: undefined } : answer}>
        {(page) => (
          <div class="stack">
            <Rows page={page} isFiltered={FILTERS.some((name) => query.has(name))} />
            <Chain head={page.head} />
          </div>
        )}
      </Answered>
    </>
  );
}

/** Rows of a page may be few before the last one; then further ones are read. */
const READINGS = 10;

async function read(query: URLSearchParams): Promise<AuditPage> {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? undefined]));
  const ask = (cursor: string | undefined, limit: number) => api.listAudit({ query: { ...filters, cursor, limit } });
  let page = await ask(query.get('cursor') ?? undefined, PAGE);
  for (let reading = 1; reading < READINGS && page.next_cursor !== '' && page.rows.length < PAGE; reading += 1) {
    const next = await ask(page.next_cursor, PAGE - page.rows.length);
    page = { ...next, rows: [...page.rows, ...next.rows] };
  }
  return page;
}

function Rows({ page: { rows, next_cursor: next }, isFiltered }: { page: AuditPage; isFiltered: boolean }) {
  return (
    <div>
      {rows.length > 0 ? (
        <div class="panel">
          <SimpleTable
            label="Audit"
            rows={rows}
            rowKey={keyOf}
            columns={COLUMNS}
            below={(row) => <Details row={row} />}
          />
        </div>
      ) : next !== '' ? (
        <p class="muted">Nothing so far. The search has not reached its end: see the next page.</p>
      ) : (
        <EmptyState title={isFiltered ? 'No row matches' : 'The audit has no row'}>
          {isFiltered && (
            <p>
              <button
                type="button"
                onClick={() => setQuery(Object.fromEntries([...FILTERS, 'cursor'].map((name) => [name, undefined])))}
              >
                Show all
              </button>
            </p>
          )}
        </EmptyState>
      )}
      <Pager what="the audit" next={next} />
    </div>
  );
}

function keyOf({ sequence, issuance }: AuditRow): string {
  return `${sequence}.${issuance ?? ''}`;
}

function nameOf({ kind, uid, name, path, owner, address }: AuditActor): string {
  if (kind === 'unix') return `unix:${uid}`;
  const rest = name ?? path ?? owner ?? address;
  return rest === undefined ? kind : `${kind}:${rest}`;
}

/** The actor as the filter takes it. */
function filterOf(actor: AuditActor): string {
  return ['unix', 'token', 'file', 'server'].includes(actor.kind) ? nameOf(actor) : actor.kind;
}

const COLUMNS: readonly Column<AuditRow>[] = [
  { key: 'at', title: 'Time', width: 7, cell: ({ at }) => <Time at={at} /> },
  {
    key: 'action',
    title: 'Action',
    width: 10,
    cell: ({ action }) => <a href={href('/audit', { action })}>{action}</a>,
  },
  {
    key: 'actor',
    title: 'Actor',
    width: 12,
    cell: ({ actor, source }) => (
      <>
        <a href={href('/audit', { actor: filterOf(actor) })}>
          <HostileText text={nameOf(actor)} cut={120} />
        </a>
        <div class="muted">
          <HostileText text={source} cut={120} />
        </div>
      </>
    ),
  },
  {
    key: 'target',
    title: 'What',
    width: 16,
    cell: ({ target, spiffe_id: id, action, serial }) => (
      <>
        {target !== undefined && (
          <div>
            {action.startsWith('entry.') ? (
              <a href={href(`/entries/${encodeURIComponent(target)}`)}>
                <HostileText text={target} cut={120} />
              </a>
            ) : (
              <HostileText text={target} cut={120} />
            )}
          </div>
        )}
        {id !== undefined && <HostileText text={id} cut={200} />}
        {serial !== undefined && (
          <div class="muted mono">
            <a href={href('/issuances', { serial })}>{serial}</a>
          </div>
        )}
      </>
    ),
  },
  {
    key: 'row',
    title: 'Row',
    width: 5,
    numeric: true,
    cell: ({ sequence, issuance }) => (
      <>
        {sequence}
        {issuance !== undefined && <div class="muted">issuance {issuance}</div>}
      </>
    ),
  },
];

function Details({ row: { before, after, detail, actor, hash } }: { row: AuditRow }) {
  const { kind: _, ...facts } = actor;
  return (
    <details>
      <summary>Details</summary>
      <div class="audit-details">
        {before !== undefined && <Values title="Before" values={before} />}
        {after !== undefined && <Values title="After" values={after} />}
        {detail !== undefined && <Values title="Detail" values={detail} />}
        {Object.keys(facts).length > 0 && <Values title="Actor" values={facts} />}
        <div>
          <h3>Hash of the row</h3>
          <CopyText text={hash} what="hash" />
        </div>
      </div>
    </details>
  );
}

function Values({ title, values }: { title: string; values: Readonly<Record<string, unknown>> }) {
  return (
    <div>
      <h3>{title}</h3>
      <Facts>
        {Object.entries(values).map(([name, value]) => (
          <Fact key={name} name={name}>
            <HostileText text={typeof value === 'string' ? value : JSON.stringify(value)} lines />
          </Fact>
        ))}
      </Facts>
    </div>
  );
}

/** The chain of hashes proves that nothing was changed, if its newest hash was kept elsewhere. */
function Chain({ head: { sequence, hash } }: { head: AuditPage['head'] }) {
  return (
    <Panel title="The chain">
      <p>
        The newest row is {sequence.toLocaleString('en')}. Each row has the hash of those before it; the server logs the
        newest one each hour. Keep it elsewhere, and this verifies later that all rows up to it are unchanged:
      </p>
      <Command text={`sidekey audit verify --expect ${hash}`} />
    </Panel>
  );
}
