/** The forms of a new entry and of a change. */

import { draftOf, type EntryDraft, NEW_DRAFT } from '../data/entries.ts';
import { Answered, EmptyState, HostileText, Title } from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { session } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { EntryForm } from './entry-form.tsx';

/** The address may have values to begin with, as links of other views give them. */
export function NewEntryView({ query }: ViewProps) {
  const state = session.value;
  const trustDomain = state.kind === 'in' ? state.session.trust_domain : '';
  const selectors = query.getAll('selector');
  const begin: EntryDraft = {
    ...NEW_DRAFT,
    spiffe_id: query.get('spiffe_id') ?? `spiffe://${trustDomain}/`,
    ...(selectors.length > 0 && { selectors }),
  };
  return (
    <>
      <Title>New entry</Title>
      <EntryForm opened={undefined} begin={begin} />
    </>
  );
}

export function EditEntryView({ params }: ViewProps) {
  const id = params.id!;
  const answer = useAnswer(id, () => api.getEntry({ path: { id } }));
  const { data, error } = answer;
  if (error instanceof ApiError && error.status === 404 && data === undefined)
    return (
      <>
        <Title>Edit entry</Title>
        <EmptyState title="There is no entry of that ID">
          <p>
            <HostileText text={id} cut={255} /> was deleted, or never was. <a href={href('/entries')}>All entries</a>
          </p>
        </EmptyState>
      </>
    );
  return (
    <>
      <Title>Edit entry</Title>
      <Answered answer={answer}>
        {(entry) =>
          entry.source === 'file' ? (
            <p class="note">
              The server's entries file declares this entry, so it is changed there:{' '}
              <a href={href(`/entries/${encodeURIComponent(id)}`)}>the entry</a> says which file.
            </p>
          ) : (
            <EntryForm opened={entry} begin={draftOf(entry)} />
          )
        }
      </Answered>
    </>
  );
}
