/** Entries that a caller nearly matches, side by side: each selector, and what the caller has instead. */

import { useMemo } from 'preact/hooks';
import type { Entry, Explanation } from '../../gen/admin-api.ts';
import { selectorText } from '../data/entries.ts';
import { Command, HostileText, Mark, Time } from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';

type Miss = Explanation['near'][number];
type Lack = Miss['lacks'][number];

export function NearMisses({ near }: { near: readonly Miss[] }) {
  const ids = useMemo(() => near.map(({ entry_id: id }) => id), [near]);
  const { data } = useAnswer(ids.join(' '), () => readEntries(ids), { on: ['entries'] });
  return (
    <div class="near-misses">
      {near.map((miss) => (
        <Near key={miss.entry_id} miss={miss} entry={data?.get(miss.entry_id)} />
      ))}
    </div>
  );
}

/** The entries that there still are. */
async function readEntries(ids: readonly string[]): Promise<ReadonlyMap<string, Entry>> {
  const read = await Promise.all(ids.map((id) => api.getEntry({ path: { id } }).catch(() => undefined)));
  return new Map(read.flatMap((entry) => (entry === undefined ? [] : [[entry.id, entry]])));
}

function Near({ miss, entry }: { miss: Miss; entry: Entry | undefined }) {
  const { entry_id: id, spiffe_id: spiffeId, selectors, lacks, expired_at: expired, withheld, fix, note } = miss;
  const lacking = new Set(lacks.map(({ selector }) => selector));
  const had = entry?.selectors.map(selectorText).filter((selector) => !lacking.has(selector)) ?? [];
  const isWhole = had.length === selectors - lacks.length;
  return (
    <article class="near-miss">
      <h3>
        <a href={href(`/entries/${encodeURIComponent(id)}`)}>
          <HostileText text={spiffeId} cut={160} />
        </a>
      </h3>
      <p class="muted">
        entry <HostileText text={id} cut={60} />: has {selectors - lacks.length} of {selectors}
      </p>
      <ul>
        {lacks.map((lack) => (
          <Lacking key={lack.selector} lack={lack} />
        ))}
        {isWhole &&
          had.map((selector) => (
            <li key={selector}>
              <Mark tone="good">has</Mark>
              <span class="mono">
                <HostileText text={selector} />
              </span>
            </li>
          ))}
        {expired !== null && (
          <li>
            <Mark tone="bad">expired</Mark> <Time at={expired} />
          </li>
        )}
        {withheld && (
          <li>
            <Mark tone="bad">withheld</Mark>
            <span>it is not for callers in containers</span>
          </li>
        )}
      </ul>
      {note !== null && (
        <p class="note">
          <HostileText text={note} lines />
        </p>
      )}
      {fix !== null && <Command text={fix} />}
    </article>
  );
}

function Lacking({ lack: { selector, has, alike } }: { lack: Lack }) {
  const isNegative = selector.startsWith('!');
  return (
    <li>
      <Mark tone="bad">{isNegative && has.length > 0 ? 'excluded' : 'lacks'}</Mark>
      <span>
        <span class="mono">
          <HostileText text={selector} />
        </span>
        <span class="instead muted">
          {isNegative ? (
            has.length > 0 ? (
              <>
                the caller has <Has has={has} />
              </>
            ) : (
              'it is not known whether the caller has it'
            )
          ) : has.length > 0 ? (
            <>
              the caller has <Has has={has} />
            </>
          ) : (
            'the caller has none of the kind'
          )}
          {alike !== null && (
            <>
              {'; '}
              <b>
                <HostileText text={alike} /> is nearly the same: a typing mistake?
              </b>
            </>
          )}
        </span>
      </span>
    </li>
  );
}

function Has({ has }: { has: readonly string[] }) {
  return (
    <>
      {has.map((one) => (
        <span key={one} class="mono name">
          <HostileText text={one} cut={160} />
        </span>
      ))}
    </>
  );
}
