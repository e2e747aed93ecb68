/** Federation relationships: other trust domains whose bundles the server fetches, and how the last fetch went. */

import { useEffect } from 'preact/hooks';
import type { Relationship } from '../../gen/admin-api.ts';
import {
  Answered,
  type Column,
  Command,
  EmptyState,
  ExpiryBar,
  HostileText,
  Mark,
  Panel,
  SimpleTable,
  Time,
  type Tone,
} from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { now } from '../shell/clock.ts';
import { type Answer, useAnswer } from '../shell/use-answer.ts';
import { TRUST_DOMAIN } from './columns.tsx';

/** After the time of a poll, whose outcome may be no event, and between two readings for such times, in milliseconds. */
const AFTER_POLL_MS = 2_000;
const LEAST_MS = 5_000;

export function Relationships() {
  const answer = useAnswer('relationships', () => api.listRelationships(), { on: ['bundles'] });
  useNextPoll(answer);
  return (
    <Panel title="Federation relationships">
      <Answered answer={answer}>
        {({ relationships }) =>
          relationships.length === 0 ? (
            <None />
          ) : (
            <SimpleTable
              label="Federation relationships"
              rows={relationships}
              rowKey={({ trust_domain: domain }) => domain}
              columns={COLUMNS}
              below={Trouble}
            />
          )
        }
      </Answered>
    </Panel>
  );
}

/** Reads again after the next poll: a poll that changes nothing is no event. */
function useNextPoll({ data, reload }: Answer<{ readonly relationships: readonly Relationship[] }>): void {
  useEffect(() => {
    if (data === undefined || data.relationships.length === 0) return;
    // A relationship without a time is being fetched now.
    const polls = data.relationships.map(({ next_poll_at: at }) => (at === null ? 0 : Date.parse(at)));
    const wait = Math.min(...polls) - now.peek() + AFTER_POLL_MS;
    const timer = setTimeout(reload, Math.min(Math.max(wait, LEAST_MS), 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }, [data, reload]);
}

/** The words, tones and meanings of the states. */
const STATES: Readonly<Record<Relationship['state'], { word: string; tone: Tone; means: string }>> = {
  new: { word: 'new', tone: 'busy', means: 'not fetched since the server started' },
  fresh: { word: 'fresh', tone: 'good', means: 'the last fetch succeeded' },
  failing: { word: 'failing', tone: 'warn', means: 'the last fetch failed; the last good bundle stays in use' },
  'stale-bootstrap': {
    word: 'needs a bundle',
    tone: 'bad',
    means: 'no stored bundle authenticates the endpoint: a new bundle has to be given by hand',
  },
  revoked: { word: 'revoked', tone: 'bad', means: 'the partner published no authority: its SVIDs are not trusted' },
};

const COLUMNS: readonly Column<Relationship>[] = [
  TRUST_DOMAIN,
  {
    key: 'state',
    title: 'State',
    width: 8,
    cell: ({ state, failures }) => {
      const { word, tone, means } = STATES[state];
      return (
        <>
          <span title={means}>
            <Mark tone={tone}>{word}</Mark>
          </span>
          {failures > 0 && (
            <div class="muted">
              {failures} {failures === 1 ? 'failure' : 'failures'} since the last success
            </div>
          )}
        </>
      );
    },
  },
  {
    key: 'endpoint',
    title: 'Endpoint',
    width: 18,
    cell: ({ bundle_endpoint_url: url, bundle_endpoint_profile: profile, endpoint_spiffe_id: id, endpoint_ca: ca }) => (
      <>
        <HostileText text={url} />
        <div class="muted">
          {profile === 'https_spiffe' ? (
            <>
              https_spiffe: <HostileText text={id ?? ''} />
            </>
          ) : (
            `https_web: ${ca === null ? 'known by the public CAs' : 'known by the CA of the relationship'}`
          )}
        </div>
      </>
    ),
  },
  { key: 'last', title: 'Last success', width: 7, cell: ({ last_success_at: at }) => <Time at={at} none="none yet" /> },
  { key: 'next', title: 'Next fetch', width: 7, cell: ({ next_poll_at: at }) => <Time at={at} none="running" /> },
  {
    key: 'sequence',
    title: 'Sequence',
    width: 6,
    numeric: true,
    cell: ({ bundle }) => bundle?.spiffe_sequence ?? <span class="muted">no bundle</span>,
  },
  {
    key: 'ends',
    title: 'Last root ends',
    width: 10,
    cell: ({ bundle }) =>
      bundle === null ? <Time at={null} /> : <ExpiryBar from={bundle.updated_at} to={bundle.expires_at} />,
  },
];

/** Why the last fetch failed, what helps, and what of the last document was left out; nothing if all is well. */
function Trouble({ error, ignored }: Relationship) {
  if (error === null && ignored.length === 0) return null;
  return (
    <>
      {error !== null && (
        <p class="note warn">
          <HostileText text={error.message} />
          {error.fix !== null && (
            <>
              {' '}
              <HostileText text={error.fix} />
            </>
          )}
        </p>
      )}
      {ignored.length > 0 && (
        <details>
          <summary>
            {ignored.length === 1 ? '1 part' : `${ignored.length} parts`} of the last document were ignored
          </summary>
          <ul>
            {ignored.map((one) => (
              <li key={one}>
                <HostileText text={one} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

function None() {
  return (
    <EmptyState title="The server fetches no bundle">
      <p>A relationship lets it fetch the bundle of another trust domain, and follow its rotations:</p>
      <Command text="sidekey federation create other.example --bundle-endpoint-profile https_web --bundle-endpoint-url https://bundle.other.example" />
    </EmptyState>
  );
}
