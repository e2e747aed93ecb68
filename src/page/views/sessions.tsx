/** Who is signed in to the page, and how to end that. */

import { useState } from 'preact/hooks';
import type { PageSession } from '../../gen/admin-api.ts';
import {
  Answered,
  type Column,
  Command,
  Confirm,
  ErrorNote,
  HostileText,
  Mark,
  Panel,
  SimpleTable,
  Time,
  Title,
} from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { can, signOut } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';

export function SessionsView() {
  const answer = useAnswer('sessions', () => api.listPageSessions());
  const [asked, setAsked] = useState<PageSession>();
  const [failure, setFailure] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const end = async (one: PageSession) => {
    setBusy(true);
    setFailure(undefined);
    try {
      if (one.current) await signOut();
      else await api.endPageSession({ path: { id: one.id } });
      answer.reload();
    } catch (thrown) {
      setFailure(thrown);
    }
    setBusy(false);
    setAsked(undefined);
  };
  const columns: readonly Column<PageSession>[] = [
    ...COLUMNS,
    {
      key: 'end',
      title: '',
      width: 8,
      cell: (one) => (
        <button type="button" class="small" onClick={() => setAsked(one)}>
          {one.current ? 'Sign out' : 'End'}
          <span class="unseen-label"> session {one.name}</span>
        </button>
      ),
    },
  ];
  return (
    <>
      <Title>Sessions</Title>
      <div class="stack">
        <Panel title={can('admin') ? 'All sessions' : 'Your sessions'}>
          {failure !== undefined && <ErrorNote error={failure} />}
          <Answered answer={answer}>
            {({ sessions }) => (
              <SimpleTable label="Sessions" rows={sessions} rowKey={({ id }) => id} columns={columns} />
            )}
          </Answered>
        </Panel>
        <Panel title="Another session">
          <p>On the host of the server, this makes a link that works once, within a minute:</p>
          <Command text="sidekey page --no-open" />
          <p class="muted">
            <code>--role read</code> makes one that can look and not change. A session ends after 12 hours, after an
            hour without use, and when its token ends.
          </p>
        </Panel>
      </div>
      {asked !== undefined && (
        <Confirm
          title={asked.current ? 'Sign out?' : 'End this session?'}
          action={asked.current ? 'Sign out' : 'End session'}
          busy={busy}
          onConfirm={() => void end(asked)}
          onClose={() => setAsked(undefined)}
        >
          <p>
            {asked.current ? (
              'This page then shows nothing more until you open a new link.'
            ) : (
              <>
                The page of <HostileText text={asked.name} /> then shows nothing more. Whoever uses it needs a new link.
              </>
            )}
          </p>
        </Confirm>
      )}
    </>
  );
}

const COLUMNS: readonly Column<PageSession>[] = [
  {
    key: 'name',
    title: 'Name',
    width: 12,
    cell: ({ name, current }) => (
      <>
        <HostileText text={name} /> {current && <Mark tone="good">this one</Mark>}
      </>
    ),
  },
  { key: 'role', title: 'Role', width: 6, cell: ({ role }) => role },
  { key: 'maker', title: 'Made by', width: 8, cell: ({ made_by: maker }) => <HostileText text={maker} /> },
  { key: 'created', title: 'Began', width: 8, cell: ({ created_at: at }) => <Time at={at} /> },
  { key: 'used', title: 'Last used', width: 8, cell: ({ last_used_at: at }) => <Time at={at} /> },
  { key: 'ends', title: 'Ends', width: 8, cell: ({ expires_at: at }) => <Time at={at} /> },
];
