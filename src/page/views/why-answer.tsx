/** The answer to "why": the verdict, what would help, what the caller has, the nearest entries, and the facts. */

import type { Explanation, Fact as FactJson } from '../../gen/admin-api.ts';
import { Answered, Command, Fact, Facts, HostileText, Mark, Panel, SimpleTable, Time } from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { can } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { NearMisses } from './near-misses.tsx';

export function WhyAnswer({ query }: { query: URLSearchParams }) {
  const answer = useAnswer(`${query}`, () => explain(query), {
    on: ['entries'],
  });
  return <Answered answer={answer}>{(explanation) => <Explained explanation={explanation} />}</Answered>;
}

function explain(query: URLSearchParams): Promise<Explanation> {
  const [pid, container, spiffeId] = ['pid', 'container', 'spiffe_id'].map((name) => query.get(name) ?? undefined);
  const selector = query.getAll('selector');
  return api.explain({
    query: {
      ...(pid !== undefined && { pid: Number(pid) }),
      ...(container !== undefined && { container }),
      ...(selector.length > 0 && { selector }),
      ...(query.get('contained') === 'true' && { contained: true }),
      ...(spiffeId !== undefined && { spiffe_id: spiffeId }),
    },
  });
}

export function Explained({ explanation }: { explanation: Explanation }) {
  const { process: subject, attestors, asked, near, fixes, note, at } = explanation;
  const facts = attestors.flatMap((attestor) => attestor.facts.map((fact) => fact.selector));
  return (
    <>
      <Panel title="Verdict">
        <Verdict explanation={explanation} />
        {attestors.map(
          ({ name, error }) =>
            error !== null && (
              <p key={name} class="note bad">
                <HostileText text={error} />. As long as {name} fails, the caller gets no identity.
              </p>
            ),
        )}
        {(fixes.length > 0 || note !== null) && (
          <div class="fixes">
            <h3>What would help</h3>
            {note !== null && (
              <p class="note">
                <HostileText text={note} lines />
              </p>
            )}
            {fixes.map((fix) => (
              <Command key={fix} text={fix} />
            ))}
          </div>
        )}
        {can('entries') && facts.length > 0 && (
          <p class="spaced">
            <a href={href('/entries/+new', { spiffe_id: asked?.spiffe_id, selector: likelySelectors(facts) })}>
              Make an entry for it
            </a>
          </p>
        )}
      </Panel>
      <Panel title="What it gets">
        <Gets explanation={explanation} />
      </Panel>
      <Panel title="Entries that it nearly matches">
        {near.length === 0 ? (
          <p class="muted">None: no other entry has a selector that fits.</p>
        ) : (
          <NearMisses near={near} />
        )}
      </Panel>
      {subject !== null && (
        <Panel title="The process">
          <Process process={subject} />
        </Panel>
      )}
      {attestors.length > 0 && (
        <Panel title="Facts about it" actions={<Time at={at} />}>
          <FactTable
            facts={attestors.flatMap(({ name, facts: found }) => found.map((fact) => ({ ...fact, attestor: name })))}
          />
          {attestors.map(
            ({ name, remark }) =>
              remark !== null && (
                <p key={name} class="note spaced">
                  {name}: <HostileText text={remark} />
                </p>
              ),
          )}
        </Panel>
      )}
    </>
  );
}

/** Facts that entries are usually about: its user and its program, or its container. */
function likelySelectors(facts: readonly string[]): string[] {
  const container = facts.filter((fact) => /^docker:label:com\.docker\.compose\.(project|service):/.test(fact));
  if (container.length > 0) return container;
  return facts.filter((fact) => /^unix:(uid|path):/.test(fact));
}

function Verdict({ explanation: { asked, identities, process: subject } }: { explanation: Explanation }) {
  const isOut = subject?.reach.verdict === 'no' && subject.connections === 0;
  if (asked === null)
    return (
      <p class="verdict">
        {identities.length === 0 ? (
          <Mark tone="warn">It gets no identity.</Mark>
        ) : (
          <Mark tone="good">
            {identities.length === 1 ? 'It gets one identity.' : `It gets ${identities.length} identities.`}
          </Mark>
        )}
      </p>
    );
  const { given, spiffe_id: id, reason, detail, alike } = asked;
  return (
    <p class="verdict">
      {given && !isOut ? <Mark tone="good">given</Mark> : <Mark tone="bad">not given</Mark>} <HostileText text={id} />:{' '}
      {given && isOut ? (
        <>
          the process cannot ask for it; <HostileText text={detail} /> once it can
        </>
      ) : (
        <>
          {reason !== null && <b>{reason}: </b>}
          <HostileText text={detail} lines />
        </>
      )}
      {alike !== null && (
        <>
          {' '}
          Did you mean <HostileText text={alike} />?
        </>
      )}
    </p>
  );
}

function Gets({ explanation }: { explanation: Explanation }) {
  const { identities, templates, bundles, unset_bundles: unset } = explanation;
  if (identities.length + bundles.length + templates.length + unset.length === 0)
    return <p class="muted">Nothing, not even a bundle.</p>;
  return (
    <ul class="gets">
      {identities.map(({ entry_id: entry, spiffe_id: id, default: isDefault }) => (
        <li key={entry}>
          <Mark tone="good">identity</Mark>
          <span>
            <HostileText text={id} /> by the <EntryLink id={entry} />
            {isDefault && (
              <>
                , also as <code>default</code>
              </>
            )}
          </span>
        </li>
      ))}
      {templates.map(({ entry_id: entry, template, spiffe_id: id, why, values }) => (
        <li key={`${entry} ${template}`}>
          <Mark tone={id === null ? 'warn' : 'good'}>template</Mark>
          <span>
            <HostileText text={template} /> by the <EntryLink id={entry} />:{' '}
            {id === null ? (
              <>
                not rendered: <HostileText text={why ?? ''} />
              </>
            ) : (
              <HostileText text={id} />
            )}
            {values.map(({ placeholder, value, why: none }) => (
              <span key={placeholder} class="muted">
                {' '}
                {`{${placeholder}}`} is{' '}
                {value === null ? (
                  <>
                    not known: <HostileText text={none ?? 'it has not been read yet'} />
                  </>
                ) : (
                  <HostileText text={value} />
                )}
                .
              </span>
            ))}
          </span>
        </li>
      ))}
      {bundles.map((name) => (
        <li key={name}>
          <Mark tone="good">bundle</Mark>
          <HostileText text={name} />
        </li>
      ))}
      {unset.map((name) => (
        <li key={name}>
          <Mark tone="warn">no bundle</Mark>
          <span>
            of <HostileText text={name} />: it is not set yet, see <a href={href('/trust')}>Trust</a>
          </span>
        </li>
      ))}
    </ul>
  );
}

export function EntryLink({ id }: { id: string }) {
  return (
    <a href={href(`/entries/${encodeURIComponent(id)}`)}>
      entry <HostileText text={id} cut={60} />
    </a>
  );
}

const VERDICTS = {
  yes: ['good', 'it can'],
  no: ['bad', 'it cannot'],
  unknown: ['off', 'not found out'],
} as const;

function Process({ process }: { process: NonNullable<Explanation['process']> }) {
  const { pid, uid, gid, contained, connections, reach } = process;
  const [tone, word] = VERDICTS[reach.verdict];
  return (
    <>
      <Facts>
        <Fact name="PID">
          <a href={href('/proxies', { q: pid })}>{pid}</a>
        </Fact>
        <Fact name="UID and GID">
          {uid} : {gid}
        </Fact>
        <Fact name="In a container">{contained === null ? 'no' : <HostileText text={contained} />}</Fact>
        <Fact name="Connections now">{connections}</Fact>
        <Fact name="Can connect to the socket">
          <Mark tone={tone}>{word}</Mark> <HostileText text={reach.detail} />
        </Fact>
        {reach.seen_as !== null && (
          <Fact name="Sees the socket as">
            <HostileText text={reach.seen_as} />
          </Fact>
        )}
      </Facts>
      {reach.fix !== null && (
        <div class="fixes">
          <p>
            To let it connect: <HostileText text={reach.fix} />
          </p>
          {reach.command !== null && <Command text={reach.command} />}
        </div>
      )}
    </>
  );
}

type SourcedFact = FactJson & { readonly attestor?: string };

export function FactTable({ facts }: { facts: readonly SourcedFact[] }) {
  if (facts.length === 0) return <p class="muted">None.</p>;
  return (
    <SimpleTable
      label="Facts"
      rows={facts}
      rowKey={({ selector, source }) => `${selector} ${source}`}
      columns={[
        {
          key: 'fact',
          title: 'Fact',
          width: 18,
          cell: ({ selector }) => (
            <span class="mono">
              <HostileText text={selector} />
            </span>
          ),
        },
        {
          key: 'source',
          title: 'Source',
          width: 18,
          cell: ({ source, attestor }) => (
            <>
              <HostileText text={source} />
              {attestor !== undefined && <span class="muted"> ({attestor})</span>}
            </>
          ),
        },
      ]}
    />
  );
}
