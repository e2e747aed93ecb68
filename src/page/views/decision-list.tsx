/** Requests that were refused or held, newest first. */

import { useState } from 'preact/hooks';
import type { Decision } from '../../gen/admin-api.ts';
import { Answered, type Column, HostileText, Mark, SimpleTable, Time } from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { useKept } from '../shell/use-kept.ts';

/** Shown at first, and added with each request for more. */
const STEP = 25;
const MOST = 1_000;

/** @param spiffeId of requests for it alone */
export function DecisionList({ spiffeId }: { spiffeId: string | undefined }) {
  const [limit, setLimit] = useState(STEP);
  const answer = useKept(
    useAnswer(
      `${limit} ${spiffeId}`,
      () => api.listDecisions({ query: { limit, ...(spiffeId !== undefined && { spiffe_id: spiffeId }) } }),
      { when: ({ type }) => type === 'held' || type === 'removed' || type === 'rejected' },
    ),
  );
  return (
    <Answered answer={answer}>
      {({ decisions, next_cursor: next }) =>
        decisions.length === 0 ? (
          <p class="muted">None: every caller got what it asked for.</p>
        ) : (
          <>
            <SimpleTable label="Decisions" rows={decisions} rowKey={({ id }) => id} columns={COLUMNS} />
            {next !== '' && limit < MOST && (
              <p class="spaced">
                <button type="button" onClick={() => setLimit(Math.min(MOST, limit * 2))}>
                  Show more
                </button>
              </p>
            )}
          </>
        )
      }
    </Answered>
  );
}

/** What became of a request. */
export function DecisionMark({ decision: { kind, ended_at: ended } }: { decision: Decision }) {
  if (kind === 'refused') return <Mark tone="bad">refused</Mark>;
  if (kind === 'fetch-nothing') return <Mark tone="warn">got nothing</Mark>;
  return ended === null ? <Mark tone="warn">held</Mark> : <Mark tone="off">was held</Mark>;
}

const COLUMNS: readonly Column<Decision>[] = [
  { key: 'at', title: 'Time', width: 7, cell: ({ at }) => <Time at={at} /> },
  { key: 'what', title: 'Decision', width: 7, cell: (decision) => <DecisionMark decision={decision} /> },
  {
    key: 'who',
    title: 'Caller',
    width: 10,
    cell: ({ pid, uid, node_id: node, owner }) => (
      <>
        {pid === 0 ? 'a process' : `process ${pid}`}
        <div class="muted">
          {node === null ? (
            <>
              uid {uid}, <HostileText text={owner} cut={80} />
            </>
          ) : (
            <HostileText text={node} cut={80} />
          )}
        </div>
      </>
    ),
  },
  {
    key: 'name',
    title: 'Asked for',
    width: 14,
    cell: ({ name }) => (name === null ? <span class="muted">any name</span> : <HostileText text={name} cut={120} />),
  },
  {
    key: 'why',
    title: 'Reason',
    width: 18,
    cell: ({ reason, detail }) => (
      <>
        <b>{reason}</b> <HostileText text={detail} cut={200} />
      </>
    ),
  },
  {
    key: 'id',
    title: '',
    width: 4,
    cell: ({ id }) => (
      <a href={href('/why', { decision: id })}>
        Why<span class="unseen-label"> decision {id}</span>
      </a>
    ),
  },
];
