/** Certificates that are revoked and have not ended; a hold can be undone. */

import { useState } from 'preact/hooks';
import type { Revocation } from '../../gen/admin-api.ts';
import {
  Answered,
  type Column,
  Confirm,
  CopyText,
  EmptyState,
  ErrorNote,
  FilterChoice,
  Pager,
  SimpleTable,
  Time,
} from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { can } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { useKept } from '../shell/use-kept.ts';
import { ENTRY, ISSUED_ID } from './columns.tsx';

/** Revocations of one page. */
const PAGE = 100;

export function RevokedList({ query }: { query: URLSearchParams }) {
  const cursor = query.get('cursor') ?? undefined;
  const answer = useKept(
    useAnswer(`revoked ${cursor}`, () => api.listRevocations({ query: { limit: PAGE, cursor } }), {
      on: ['revocations'],
    }),
  );
  const [asked, setAsked] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const restore = async (serial: string) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await api.restoreCertificate({ path: { serial } });
      answer.reload();
    } catch (thrown) {
      setFailure(thrown);
    }
    setBusy(false);
    setAsked(undefined);
  };
  const columns: readonly Column<Revocation>[] = can('entries')
    ? [
        ...COLUMNS,
        {
          key: 'restore',
          title: '',
          width: 6,
          cell: ({ serial, reason }) =>
            reason === 'certificate-hold' && (
              <button type="button" class="small" onClick={() => setAsked(serial)}>
                Restore<span class="unseen-label"> certificate {serial}</span>
              </button>
            ),
        },
      ]
    : COLUMNS;
  return (
    <>
      <search class="filter-form">
        <FilterChoice
          name="revoked"
          label="Show"
          choices={[
            ['', 'what was issued'],
            ['true', 'what is revoked'],
          ]}
        />
      </search>
      {failure !== undefined && <ErrorNote error={failure} />}
      <Answered answer={answer}>
        {({ revocations, next_cursor: next }) => (
          <>
            {revocations.length === 0 ? (
              <EmptyState title="No certificate that has not ended is revoked" />
            ) : (
              <div class="panel">
                <SimpleTable
                  label="Revoked certificates"
                  rows={revocations}
                  rowKey={({ serial }) => serial}
                  columns={columns}
                />
              </div>
            )}
            <Pager what="revoked certificates" next={next} />
          </>
        )}
      </Answered>
      {asked !== undefined && (
        <Confirm
          title="Restore this certificate?"
          action="Restore"
          busy={busy}
          onConfirm={() => void restore(asked)}
          onClose={() => setAsked(undefined)}
        >
          <p>
            Proxies accept <span class="mono">{asked}</span> again, once they have the lists without it.
          </p>
        </Confirm>
      )}
    </>
  );
}

const COLUMNS: readonly Column<Revocation>[] = [
  { key: 'at', title: 'Revoked', width: 7, cell: ({ revoked_at: at }) => <Time at={at} /> },
  ISSUED_ID,
  { key: 'reason', title: 'Reason', width: 10, cell: ({ reason }) => reason },
  {
    key: 'serial',
    title: 'Serial',
    width: 12,
    cell: ({ serial }) => <CopyText text={serial} what="serial number" />,
  },
  ENTRY,
  { key: 'ends', title: 'Ends', width: 8, cell: ({ expires_at: at }) => <Time at={at} /> },
];
