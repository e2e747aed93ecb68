/** Deletes an entry, after it has said which callers lose their identity. */

import { useState } from 'preact/hooks';
import type { Entry } from '../../gen/admin-api.ts';
import { CHANGEABLE, draftOf, isSameIn } from '../data/entries.ts';
import { Answered, Dialog, ErrorNote, HostileText } from '../parts/index.ts';
import { ApiError, api } from '../shell/api.ts';
import { href, navigate } from '../shell/router.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { EffectList } from './effects.tsx';
import { Difference } from './entry-difference.tsx';
import { ReasonField, type RevocationReason } from './revocation-reason.tsx';

export function DeleteEntry({ entry: opened, onClose }: { entry: Entry; onClose: () => void }) {
  // What the reader has seen; the deletion holds for this revision only.
  const [seen, setSeen] = useState(opened);
  const [before, setBefore] = useState<Entry>();
  const [revokes, setRevokes] = useState(false);
  const [reason, setReason] = useState<RevocationReason>('cessation-of-operation');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const { id, revision_number: revision } = seen;
  const preview = useAnswer(`${id} ${revision}`, () => api.previewEntry({ body: { delete: { id } } }));

  const remove = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await api.deleteEntry({
        path: { id },
        headers: { 'if-match': String(revision) },
        ...(revokes && { query: { revoke: reason } }),
      });
      navigate(href('/entries'));
      return;
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.status === 404) {
        navigate(href('/entries'));
        return;
      }
      if (thrown instanceof ApiError && thrown.code === 'ERR_REVISION') await lookAgain();
      else setFailure(thrown);
    }
    setBusy(false);
  };
  const lookAgain = async () => {
    try {
      setBefore(seen);
      setSeen(await api.getEntry({ path: { id } }));
    } catch (thrown) {
      setFailure(thrown);
    }
  };

  return (
    <Dialog title="Delete this entry?" onClose={onClose} wide>
      <p>
        Nothing more is issued for <HostileText text={seen.spiffe_id} /> by this entry. Certificates that callers have
        stay valid until they end, unless they are revoked.
      </p>
      {before !== undefined && (
        <div class="note warn" role="alert">
          <p>
            <b>Somebody changed the entry meanwhile</b>, to revision {revision}. It was not deleted. Look again:
          </p>
          <Difference before={draftOf(before)} after={draftOf(seen)} fields={changedFields(before, seen)} />
        </div>
      )}
      <h3 class="spaced">Running callers</h3>
      <Answered answer={preview}>{({ effects }) => <EffectList effects={effects} />}</Answered>
      <p class="spaced">
        <label class="check">
          <input type="checkbox" checked={revokes} onChange={({ currentTarget: { checked } }) => setRevokes(checked)} />
          Revoke its certificates too
        </label>
      </p>
      {revokes && <ReasonField reason={reason} onChange={setReason} />}
      {failure !== undefined && <ErrorNote error={failure} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={() => void remove()} disabled={busy}>
          {revokes ? 'Delete and revoke' : 'Delete'}
        </button>
      </div>
    </Dialog>
  );
}

function changedFields(before: Entry, after: Entry) {
  const [one, other] = [draftOf(before), draftOf(after)];
  return CHANGEABLE.filter((field) => !isSameIn(field, one, other));
}
