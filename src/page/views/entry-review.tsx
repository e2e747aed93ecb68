/** What a change would do, before it is saved. */

import type { EntryPreview } from '../../gen/admin-api.ts';
import { CHANGEABLE, type EntryDraft, isSameIn } from '../data/entries.ts';
import { Dialog } from '../parts/index.ts';
import { EffectList } from './effects.tsx';
import { Difference } from './entry-difference.tsx';
import { Warnings } from './entry-saved.tsx';

interface EntryReviewProps {
  readonly preview: EntryPreview;
  /** Undefined for a new entry. */
  readonly before: EntryDraft | undefined;
  readonly draft: EntryDraft;
  readonly busy: boolean;
  readonly onSave: () => void;
  readonly onClose: () => void;
}

export function EntryReview({ preview, before, draft, busy, onSave, onClose }: EntryReviewProps) {
  const { effects, warnings } = preview;
  return (
    <Dialog title={before === undefined ? 'Make this entry?' : 'Save this change?'} onClose={onClose} wide>
      <div class="stack">
        {before !== undefined && (
          <section>
            <h3>What changes</h3>
            <Difference
              before={before}
              after={draft}
              fields={CHANGEABLE.filter((field) => !isSameIn(field, before, draft))}
            />
          </section>
        )}
        <section>
          <h3>Running callers</h3>
          <EffectList effects={effects} />
        </section>
        <Warnings warnings={warnings} title="It would be accepted, but probably does not do what is meant:" />
      </div>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Back to the form
        </button>
        <button type="button" class="primary" onClick={onSave} disabled={busy}>
          Save
        </button>
      </div>
    </Dialog>
  );
}
