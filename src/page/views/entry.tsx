/** One entry: what it says, where it comes from, and the ways to change and delete it. */

import { useState } from 'preact/hooks';
import type { Entry } from '../../gen/admin-api.ts';
import { durationText, selectorText } from '../data/entries.ts';
import {
  Answered,
  Command,
  CopyText,
  EmptyState,
  Fact,
  Facts,
  HostileText,
  Mark,
  Panel,
  Time,
  Title,
} from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { now } from '../shell/clock.ts';
import { href } from '../shell/router.ts';
import { can } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { DeleteEntry } from './entry-delete.tsx';
import { Holders } from './entry-holders.tsx';
import { savedOf, Warnings } from './entry-saved.tsx';

export function EntryView({ params }: ViewProps) {
  const id = params.id!;
  const answer = useAnswer(id, () => api.getEntry({ path: { id } }), {
    on: ['entries'],
  });
  const [deleting, setDeleting] = useState(false);
  const { data, error } = answer;
  // The last state stays in view when somebody else deletes it.
  if (error instanceof ApiError && error.status === 404 && data === undefined) return <NoEntry id={id} />;
  return (
    <Answered answer={answer}>
      {(entry) => {
        const isFile = entry.source === 'file';
        return (
          <>
            <Title
              actions={
                can('entries') &&
                !isFile && (
                  <>
                    <a class="button" href={href(`/entries/${encodeURIComponent(id)}/edit`)}>
                      Edit
                    </a>
                    <button type="button" class="danger" onClick={() => setDeleting(true)}>
                      Delete
                    </button>
                  </>
                )
              }
            >
              <HostileText text={entry.spiffe_id} cut={200} />
            </Title>
            <Saved entry={entry} />
            {isFile && <OfFile />}
            {entry.source !== 'api' && !isFile && (
              <p class="note">
                The source <HostileText text={entry.source} /> declares it (<code>sidekey apply</code>), and undoes
                changes that are made here when it is applied again.
              </p>
            )}
            <div class="stack">
              <Panel title="What it says">
                <What entry={entry} />
              </Panel>
              {!entry.spiffe_id.includes('{') && (
                <Panel title="Who asks for it now">
                  <Holders spiffeId={entry.spiffe_id} />
                </Panel>
              )}
              <Panel title="What it led to">
                <ul class="links">
                  <li>
                    <a href={href('/issuances', { entry_id: id })}>Certificates and tokens that were issued for it</a>
                  </li>
                  <li>
                    <a href={href('/why', { decisions: entry.spiffe_id })}>Requests for it that were refused or held</a>
                  </li>
                  {can('admin') && (
                    <li>
                      <a href={href('/audit', { target: id })}>Who changed it</a>
                    </li>
                  )}
                </ul>
              </Panel>
            </div>
            {deleting && <DeleteEntry entry={entry} onClose={() => setDeleting(false)} />}
          </>
        );
      }}
    </Answered>
  );
}

function NoEntry({ id }: { id: string }) {
  return (
    <>
      <Title>Entry</Title>
      <EmptyState title="There is no entry of that ID">
        <p>
          <HostileText text={id} cut={255} /> was deleted, or never was. <a href={href('/entries')}>All entries</a>
          {can('admin') && (
            <>
              {' · '}
              <a href={href('/audit', { target: id })}>what the audit has about it</a>
            </>
          )}
        </p>
      </EmptyState>
    </>
  );
}

/** What the server said when the page saved it. */
function Saved({ entry: { id, revision_number: revision } }: { entry: Entry }) {
  const saved = savedOf(id, revision);
  if (saved === undefined) return null;
  return (
    <div class="saved" role="status">
      <p class="note good">
        <Mark tone="good">Saved</Mark> as revision {revision}.
      </p>
      <Warnings warnings={saved} title="It was accepted, but probably does not do what was meant:" />
    </div>
  );
}

/** The server would undo a change at its next start, so none is offered. */
function OfFile() {
  const { data } = useAnswer('entries file', () => api.getDoctorReport());
  const file = data?.entries_file?.path;
  return (
    <div class="note">
      <p>
        It is declared by the server's entries file
        {file !== undefined && (
          <>
            , <CopyText text={file} what="path of the file" />
          </>
        )}
        , so it is changed there. A reload takes the change over:
      </p>
      <Command text="systemctl reload sidekey" />
      <p class="muted">Without systemd, send SIGHUP to the server{data !== undefined && ` (kill -HUP ${data.pid})`}.</p>
    </div>
  );
}

function What({ entry }: { entry: Entry }) {
  const { expires_at: ends } = entry;
  const isExpired = ends !== null && Date.parse(ends) <= now.value;
  return (
    <>
      <Facts>
        <Fact name="SPIFFE ID">
          <CopyText text={entry.spiffe_id} what="SPIFFE ID">
            <HostileText text={entry.spiffe_id} />
          </CopyText>
        </Fact>
        <Fact name="Entry ID">
          <CopyText text={entry.id} what="entry ID" />
        </Fact>
        <Fact name="Hint">{entry.hint === '' ? '–' : <HostileText text={entry.hint} />}</Fact>
        <Fact name="Expires">
          <Time at={ends} none="never" /> {isExpired && <Mark tone="warn">expired: nothing is issued for it</Mark>}
        </Fact>
        <Fact name="TTL of X.509-SVIDs">{durationText(entry.x509_svid_ttl) || "the server's default"}</Fact>
        <Fact name="TTL of JWT-SVIDs">{durationText(entry.jwt_svid_ttl) || "the server's default"}</Fact>
        <Fact name="Key type">{entry.x509_svid_key_type || "the server's default"}</Fact>
        <Fact name="Callers in containers">
          {entry.allow_contained ? 'may have it' : 'only by a selector about the container'}
        </Fact>
        <Fact name="DNS names">
          <Texts texts={entry.dns_names} />
        </Fact>
        <Fact name="Federates with">
          <Texts texts={entry.federates_with} />
        </Fact>
        {entry.parent_id !== '' && (
          <Fact name="Parent ID (grants nothing)">
            <HostileText text={entry.parent_id} />
          </Fact>
        )}
        <Fact name="Source">
          <HostileText text={entry.source} />
        </Fact>
        <Fact name="Made">
          <Time at={entry.created_at} />
        </Fact>
        <Fact name="Changed">
          <Time at={entry.updated_at} />, revision {entry.revision_number}
        </Fact>
      </Facts>
      <h3 class="spaced">Processes that have all of these get it</h3>
      <ul class="selectors">
        {entry.selectors.map(selectorText).map((text) => (
          <li key={text}>
            <HostileText text={text} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Texts({ texts }: { texts: readonly string[] }) {
  if (texts.length === 0) return <>–</>;
  return (
    <ul class="plain">
      {texts.map((text) => (
        <li key={text}>
          <HostileText text={text} />
        </li>
      ))}
    </ul>
  );
}
