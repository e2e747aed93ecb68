/** One recorded decision: what the server knew then, and what the same facts give now. */

import type { Decision } from '../../gen/admin-api.ts';
import { Answered, CopyText, EmptyState, Fact, Facts, HostileText, Panel, Time } from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { DecisionMark } from './decision-list.tsx';
import { Explained, FactTable } from './why-answer.tsx';

export function WhyDecision({ id }: { id: string }) {
  const answer = useAnswer(id, () => api.getDecision({ path: { id } }), {
    on: ['entries'],
    when: ({ type }) => type === 'removed' || type === 'stream_closed',
  });
  const { data, error } = answer;
  if (error instanceof ApiError && error.status === 404 && data === undefined)
    return (
      <EmptyState title="There is no decision of that ID">
        <p>
          The server keeps the decisions of the last day, 10,000 at most. <a href={href('/why')}>Those that it has</a>
        </p>
      </EmptyState>
    );
  return <Answered answer={answer}>{(decision) => <Shown decision={decision} />}</Answered>;
}

function Shown({ decision }: { decision: Decision }) {
  const {
    id,
    at,
    ended_at: ended,
    pid,
    uid,
    gid,
    owner,
    connection,
    node_id: node,
    name,
    spiffe_id: spiffeId,
  } = decision;
  const { contained, facts, reason, detail, candidates } = decision;
  return (
    <>
      <Panel title="The decision" actions={<DecisionMark decision={decision} />}>
        <p class="verdict">
          <b>{reason}</b>: <HostileText text={detail} lines />
        </p>
        <Facts>
          <Fact name="Asked for">{name === null ? 'any name' : <HostileText text={name} />}</Fact>
          {spiffeId !== null && spiffeId !== name && (
            <Fact name="Which stands for">
              <HostileText text={spiffeId} />
            </Fact>
          )}
          <Fact name="At">
            <Time at={at} />
            {ended !== null && (
              <>
                , until <Time at={ended} />
              </>
            )}
          </Fact>
          <Fact name="Caller">
            {pid === 0 ? 'a process that the server does not see' : `process ${pid}`}, uid {uid}, gid {gid}
          </Fact>
          <Fact name="Owner">
            <HostileText text={owner} />
          </Fact>
          {contained !== null && (
            <Fact name="In a container">
              <HostileText text={contained} />
            </Fact>
          )}
          <Fact name="Node">{node === null ? '–' : <HostileText text={node} />}</Fact>
          <Fact name="Connection">
            <a href={href(`/proxies/${encodeURIComponent(connection)}`)} class="mono">
              {connection}
            </a>
          </Fact>
          <Fact name="Decision ID">
            <CopyText text={id} what="decision ID" />
          </Fact>
        </Facts>
        {candidates.length > 0 && (
          <>
            <h3 class="spaced">Entries that give it to others</h3>
            <ul class="links">
              {candidates.map(({ entry_id: entry, lacks }) => (
                <li key={entry}>
                  <a href={href(`/entries/${encodeURIComponent(entry)}`)}>
                    <HostileText text={entry} cut={60} />
                  </a>{' '}
                  {lacks.length === 0 ? 'lacked nothing' : 'needed '}
                  {lacks.map((selector) => (
                    <code key={selector} class="name">
                      <HostileText text={selector} />
                    </code>
                  ))}
                </li>
              ))}
            </ul>
          </>
        )}
        <h3 class="spaced">Facts that the server had then</h3>
        <FactTable facts={facts} />
        {pid !== 0 && (
          <p class="spaced">
            <a href={href('/why', { pid, spiffe_id: spiffeId ?? undefined })}>Ask about the process itself now</a>
          </p>
        )}
      </Panel>
      {facts.length > 0 && <Now decision={decision} />}
    </>
  );
}

/** A fact of an environment variable, whose value is not recorded. */
const SECRET = /^!?docker:env:/;

function Now({ decision: { facts, contained, spiffe_id: spiffeId } }: { decision: Decision }) {
  const selectors = facts.map(({ selector }) => selector);
  const answer = useAnswer(
    selectors.join('\n'),
    () =>
      api.explain({
        query: {
          selector: selectors,
          ...(contained !== null && { contained: true }),
          ...(spiffeId !== null && { spiffe_id: spiffeId }),
        },
      }),
    { on: ['entries'] },
  );
  return (
    <>
      <h2>The same facts now</h2>
      {selectors.some((selector) => SECRET.test(selector)) && (
        <p class="note">
          Values of environment variables are not recorded, so an entry with such a selector counts as not matching
          here. While the process runs, ask about the process itself.
        </p>
      )}
      <Answered answer={answer}>{(explanation) => <Explained explanation={explanation} />}</Answered>
    </>
  );
}
