/**
 * The form of an entry. Nothing is saved before the reader has seen what it would do to the running callers. Nothing
 * that was typed is lost: not by errors, not by a change that somebody else makes meanwhile, not by leaving the view.
 */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { ChangedEntry, Entry, EntryPreview, EntryPreviewInput, InputProblem } from '../../gen/admin-api.ts';
import { draftOf, type EntryDraft, inputOf, patchOf, placeOf } from '../data/entries.ts';
import { ErrorNote, HostileText } from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { href, navigate } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { EntryConflict } from './entry-conflict.tsx';
import { EntryFields } from './entry-fields.tsx';
import { EntryReview } from './entry-review.tsx';
import { rememberSaved } from './entry-saved.tsx';

interface Kept {
  readonly draft: EntryDraft;
  /** The state that the reader began with; undefined for a new entry. */
  readonly base: Entry | undefined;
}

/** What was typed and not saved, by entry id; '' for a new one. */
const kept = new Map<string, Kept>();

interface EntryFormProps {
  /** Undefined for a new entry. */
  readonly opened: Entry | undefined;
  readonly begin: EntryDraft;
}

export function EntryForm({ opened, begin }: EntryFormProps) {
  const name = opened?.id ?? '';
  const [wasKept, setWasKept] = useState(() => kept.has(name));
  const [draft, setDraft] = useState(() => kept.get(name)?.draft ?? begin);
  const [base, setBase] = useState(() => (kept.has(name) ? kept.get(name)!.base : opened));
  const [problems, setProblems] = useState<readonly InputProblem[]>([]);
  const [failure, setFailure] = useState<unknown>();
  const [review, setReview] = useState<EntryPreview>();
  const [theirs, setTheirs] = useState<Entry>();
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const news = useNews(base);

  const change = (next: EntryDraft) => {
    kept.set(name, { draft: next, base });
    setDraft(next);
  };
  const forget = () => {
    kept.delete(name);
    setWasKept(false);
  };
  useEffect(() => {
    if (problems.length > 0) form.current!.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems]);

  const planned: EntryPreviewInput =
    base === undefined
      ? { create: inputOf(draft) }
      : { update: { id: base.id, revision_number: base.revision_number, patch: patchOf(draft, draftOf(base)) } };
  const isSame = 'update' in planned && Object.keys(planned.update.patch).length === 0;

  /** Does something with the server; its refusals come back into the form. */
  const ask = async (what: () => Promise<void>) => {
    setBusy(true);
    setFailure(undefined);
    setProblems([]);
    try {
      await what();
    } catch (thrown) {
      const isConflict = thrown instanceof ApiError && thrown.code === 'ERR_REVISION';
      if (isConflict) await compare();
      else {
        setReview(undefined);
        setFailure(thrown);
        if (thrown instanceof ApiError) setProblems(thrown.problems);
      }
    }
    setBusy(false);
  };
  const preview = () => ask(async () => setReview(await api.previewEntry({ body: planned })));
  const save = () =>
    ask(async () => {
      const saved =
        'update' in planned
          ? await api.updateEntry({
              path: { id: base!.id },
              headers: { 'if-match': String(base!.revision_number) },
              body: planned.update.patch,
            })
          : ((await api.createEntries({ body: inputOf(draft) })) as ChangedEntry);
      forget();
      rememberSaved(saved);
      navigate(href(`/entries/${encodeURIComponent(saved.id)}`));
    });
  const compare = async () => {
    try {
      const now = await api.getEntry({ path: { id: base!.id } });
      setReview(undefined);
      setTheirs(now);
    } catch (thrown) {
      setReview(undefined);
      setFailure(thrown);
    }
  };
  const take = (merged: EntryDraft) => {
    kept.set(name, { draft: merged, base: theirs });
    setDraft(merged);
    setBase(theirs);
    setTheirs(undefined);
    setFailure(undefined);
  };

  const isGone = news === 'deleted' || (base !== undefined && failure instanceof ApiError && failure.status === 404);
  const isPlaced = problems.length > 0 && problems.every(({ path }) => placeOf(path, draft) !== undefined);
  return (
    <>
      {wasKept && (
        <div class="note" role="status">
          <p>What you typed before and did not save is here again.</p>
          <button
            type="button"
            onClick={() => {
              forget();
              setDraft(begin);
              setBase(opened);
              setProblems([]);
              setFailure(undefined);
            }}
          >
            Discard it
          </button>
        </div>
      )}
      {isGone ? (
        <div class="note warn" role="alert">
          <p>
            <b>Somebody deleted this entry meanwhile.</b> What you typed is still here.
          </p>
          <button
            type="button"
            onClick={() => {
              setBase(undefined);
              setFailure(undefined);
            }}
          >
            Make it a new entry
          </button>
        </div>
      ) : (
        news === 'changed' && (
          <div class="note warn" role="alert">
            <p>
              <b>Somebody changed this entry meanwhile.</b> What you typed is still here.
            </p>
            <button type="button" onClick={() => void compare()}>
              Compare
            </button>
          </div>
        )
      )}
      <Failure failure={isGone || isPlaced ? undefined : failure} />
      {isPlaced && (
        <p class="note bad" role="alert">
          {problems.length === 1 ? 'One field is not right.' : `${problems.length} problems are beside their fields.`}
        </p>
      )}
      <form
        ref={form}
        class="entry-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && !isSame && !isGone) void preview();
        }}
      >
        <EntryFields draft={draft} isNew={base === undefined} problems={problems} onChange={change} />
        <div class="buttons">
          {isSame && <p class="muted">Nothing is changed yet.</p>}
          <a
            class="button"
            href={href(opened === undefined ? '/entries' : `/entries/${encodeURIComponent(opened.id)}`)}
            onClick={forget}
          >
            Cancel
          </a>
          <button type="submit" class="primary" disabled={busy || isSame || isGone}>
            Preview
          </button>
        </div>
      </form>
      {review !== undefined && (
        <EntryReview
          preview={review}
          before={base === undefined ? undefined : draftOf(base)}
          draft={draft}
          busy={busy}
          onSave={() => void save()}
          onClose={() => setReview(undefined)}
        />
      )}
      {theirs !== undefined && base !== undefined && (
        <EntryConflict
          before={draftOf(base)}
          theirs={theirs}
          mine={draft}
          onTake={take}
          onClose={() => setTheirs(undefined)}
        />
      )}
    </>
  );
}

/** A refusal that belongs to no field. */
function Failure({ failure }: { failure: unknown }) {
  if (failure === undefined) return null;
  const twin = failure instanceof ApiError && failure.code === 'ERR_ENTRY_EXISTS' ? failure.problem?.entry : undefined;
  if (twin === undefined) return <ErrorNote error={failure} />;
  return (
    <div class="note bad" role="alert">
      <p>
        An entry with this SPIFFE ID, these selectors and this parent ID exists already:{' '}
        <a href={href(`/entries/${encodeURIComponent(twin.id)}`)}>
          <HostileText text={twin.id} />
        </a>
      </p>
    </div>
  );
}

/** What became of an entry since the state that the reader began with. */
function useNews(base: Entry | undefined): 'changed' | 'deleted' | undefined {
  const { data, error } = useAnswer(
    base?.id ?? '',
    async () => (base === undefined ? undefined : api.getEntry({ path: { id: base.id } })),
    { on: ['entries'] },
  );
  if (base === undefined) return undefined;
  if (error instanceof ApiError && error.status === 404) return 'deleted';
  return data !== undefined && data.revision_number > base.revision_number ? 'changed' : undefined;
}
