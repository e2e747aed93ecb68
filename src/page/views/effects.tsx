/** The running callers that a change would give, take or alter an identity. */

import type { Effects } from '../../gen/admin-api.ts';
import { type Column, HostileText, Mark, SimpleTable } from '../parts/index.ts';
import { href } from '../shell/router.ts';

type Affected = Effects['callers'][number];

export function EffectList({ effects }: { effects: Effects }) {
  const { callers, more, unread } = effects;
  return (
    <>
      {callers.length === 0 ? (
        <p>No running caller would gain, lose or change an identity.</p>
      ) : (
        <SimpleTable
          label="Callers that this would change"
          rows={callers}
          rowKey={(caller) => JSON.stringify(caller)}
          columns={COLUMNS}
        />
      )}
      {more > 0 && <p class="muted">And {more === 1 ? '1 more process' : `${more} more processes`}.</p>}
      {unread > 0 && (
        <p class="note warn">
          Of {unread === 1 ? '1 process' : `${unread} processes`} some facts could not be read for this, so it may be
          changed too.
        </p>
      )}
    </>
  );
}

const COLUMNS: readonly Column<Affected>[] = [
  {
    key: 'who',
    title: 'Caller',
    width: 12,
    cell: ({ pid, uid, owner, connections }) => (
      <>
        <a href={href('/proxies', { q: pid })}>process {pid}</a>
        <div class="muted">
          uid {uid}, <HostileText text={owner} cut={80} />
          {connections > 1 && `, ${connections} connections`}
        </div>
      </>
    ),
  },
  {
    key: 'what',
    title: 'Would',
    width: 24,
    cell: ({ gained, lost, changed, may_gain: mayGain, default: byDefault }) => (
      <ul class="plain effects">
        <Ids tone="bad" word="lose" ids={lost} />
        <Ids tone="good" word="gain" ids={gained} />
        <Ids tone="busy" word="get a new certificate for" ids={changed} />
        <Ids tone="off" word="perhaps gain" ids={mayGain} />
        {byDefault !== null && (
          <li>
            <Mark tone="busy">get another one</Mark> as <code>default</code>: <Id id={byDefault.after} /> instead of{' '}
            <Id id={byDefault.before} />
          </li>
        )}
      </ul>
    ),
  },
];

function Ids({ tone, word, ids }: { tone: 'good' | 'bad' | 'busy' | 'off'; word: string; ids: readonly string[] }) {
  return (
    <>
      {ids.map((id) => (
        <li key={id}>
          <Mark tone={tone}>{word}</Mark> <HostileText text={id} />
        </li>
      ))}
    </>
  );
}

function Id({ id }: { id: string | null }) {
  return id === null ? <>none</> : <HostileText text={id} />;
}
