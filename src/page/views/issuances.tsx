/** Issued certificates and tokens, by SPIFFE ID, serial number, entry and time; and their revocation. */

import { useState } from 'preact/hooks';
import type { Issuance, IssuancePage } from '../../gen/admin-api.ts';
import { readIssuances } from '../data/issuances.ts';
import {
  Answered,
  type Column,
  CopyText,
  EmptyState,
  ErrorNote,
  ExpiryBar,
  FilterChoice,
  FilterField,
  FilterTime,
  Mark,
  Pager,
  SimpleTable,
  Time,
  Title,
} from '../parts/index.ts';
import { ApiError } from '../shell/api.ts';
import { now } from '../shell/clock.ts';
import { href, setQuery } from '../shell/router.ts';
import { can } from '../shell/session.ts';
import { type Answer, useAnswer } from '../shell/use-answer.ts';
import { useKept } from '../shell/use-kept.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { ENTRY, ISSUED_ID } from './columns.tsx';
import { Revoke, type RevokeTarget } from './revoke.tsx';
import { RevokedList } from './revoked-list.tsx';

const FILTERS = ['spiffe_id', 'serial', 'entry_id', 'kind', 'since', 'until', 'cursor'] as const;

export function IssuancesView({ query }: ViewProps) {
  const isRevoked = query.get('revoked') === 'true';
  return (
    <>
      <Title>Issuances</Title>
      {isRevoked ? <RevokedList query={query} /> : <Issued query={query} />}
    </>
  );
}

function Issued({ query }: { query: URLSearchParams }) {
  const answer = useKept(
    useAnswer(`${query}`, () => readIssuances(query), {
      on: query.has('cursor') ? ['revocations'] : ['issuances', 'revocations'],
    }),
  );
  const [target, setTarget] = useState<RevokeTarget>();
  const problems = answer.error instanceof ApiError ? answer.error.problems : [];
  const problemOf = (name: string) => {
    const found = problems.find(({ path }) => path === `?${name}`);
    return found === undefined ? undefined : `${found.problem}: ${found.rule}`;
  };
  const isBeside =
    problems.length > 0 && problems.every(({ path }) => FILTERS.some((name) => path.startsWith(`?${name}`)));
  const [spiffeId, entryId] = [query.get('spiffe_id') ?? '', query.get('entry_id') ?? ''];
  return (
    <>
      <search class="filter-form">
        <FilterField
          name="spiffe_id"
          label="SPIFFE ID"
          placeholder="whole, or its beginning and *"
          error={problemOf('spiffe_id')}
        />
        <FilterField name="serial" label="Serial number" placeholder="in hex" error={problemOf('serial')} />
        <FilterField name="entry_id" label="Entry ID" error={problemOf('entry_id')} />
        <FilterTime name="since" label="Issued from" error={problemOf('since')} />
        <FilterTime name="until" label="Until" error={problemOf('until')} />
        <FilterChoice
          name="kind"
          label="What"
          choices={[
            ['', 'all'],
            ['x509', 'X.509-SVIDs'],
            ['jwt', 'JWT-SVIDs'],
          ]}
        />
        <FilterChoice
          name="revoked"
          label="Show"
          choices={[
            ['', 'what was issued'],
            ['true', 'what is revoked'],
          ]}
        />
      </search>
      {can('entries') && (spiffeId !== '' || entryId !== '') && !spiffeId.endsWith('*') && (
        <p class="all-actions">
          {spiffeId !== '' && (
            <button type="button" class="danger small" onClick={() => setTarget({ spiffe_id: spiffeId })}>
              Revoke all certificates of this SPIFFE ID
            </button>
          )}
          {entryId !== '' && (
            <button type="button" class="danger small" onClick={() => setTarget({ entry_id: entryId })}>
              Revoke all certificates of this entry
            </button>
          )}
        </p>
      )}
      <Rows answer={isBeside ? { ...answer, error: undefined } : answer} query={query} onRevoke={setTarget} />
      {target !== undefined && (
        <Revoke
          target={target}
          onClose={() => {
            setTarget(undefined);
            answer.reload();
          }}
        />
      )}
    </>
  );
}

interface RowsProps {
  readonly answer: Answer<IssuancePage>;
  readonly query: URLSearchParams;
  readonly onRevoke: (target: RevokeTarget) => void;
}

function Rows({ answer, query, onRevoke }: RowsProps) {
  if (answer.error !== undefined && !answer.loading && answer.data === undefined)
    return <ErrorNote error={answer.error} />;
  const isFiltered = FILTERS.some((name) => query.has(name));
  const columns: readonly Column<Issuance>[] = can('entries')
    ? [
        ...COLUMNS,
        {
          key: 'revoke',
          title: '',
          width: 6,
          cell: (one) =>
            isRevocable(one) && (
              <button type="button" class="danger small" onClick={() => onRevoke({ serial: one.serial })}>
                Revoke<span class="unseen-label"> certificate {one.serial}</span>
              </button>
            ),
        },
      ]
    : COLUMNS;
  return (
    <Answered answer={answer}>
      {({ issuances, next_cursor: next }) => (
        <>
          {issuances.length > 0 ? (
            <div class="panel">
              <SimpleTable
                label="Issuances"
                rows={issuances}
                rowKey={({ kind, serial }) => `${kind} ${serial}`}
                columns={columns}
              />
            </div>
          ) : next !== '' ? (
            <p class="muted">Nothing so far. The search has not reached its end: see the next page.</p>
          ) : isFiltered ? (
            <EmptyState title="Nothing that was issued matches">
              <p>
                <button
                  type="button"
                  onClick={() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, undefined])))}
                >
                  Show all
                </button>
              </p>
            </EmptyState>
          ) : (
            <EmptyState title="Nothing has been issued yet">
              <p>
                A certificate is issued when a process asks for an identity that an <a href={href('/entries')}>entry</a>{' '}
                gives it.
              </p>
            </EmptyState>
          )}
          <Pager what="issuances" next={next} />
        </>
      )}
    </Answered>
  );
}

function isRevocable({ kind, revoked, expires_at: end }: Issuance): boolean {
  return kind === 'x509' && !revoked && Date.parse(end) > now.value;
}

const COLUMNS: readonly Column<Issuance>[] = [
  { key: 'at', title: 'Issued', width: 7, cell: ({ issued_at: at }) => <Time at={at} /> },
  ISSUED_ID,
  { key: 'kind', title: 'What', width: 6, cell: ({ kind }) => (kind === 'x509' ? 'X.509-SVID' : 'JWT-SVID') },
  {
    key: 'serial',
    title: 'Serial',
    width: 12,
    cell: ({ serial, kind }) => (
      <CopyText text={serial} what={kind === 'x509' ? 'serial number' : 'digest of the token'} />
    ),
  },
  ENTRY,
  {
    key: 'ends',
    title: 'Ends',
    width: 11,
    cell: ({ not_before: from, expires_at: to, revoked }) =>
      revoked ? (
        <>
          <Mark tone="bad">revoked</Mark>
          <div class="muted">
            ends <Time at={to} />
          </div>
        </>
      ) : (
        <ExpiryBar from={from} to={to} />
      ),
  },
];
