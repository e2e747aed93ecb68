/** Somebody else changed the entry meanwhile: what it was, what it is, what was typed, and what to take of them. */

import { useState } from 'preact/hooks';
import type { Entry } from '../../gen/admin-api.ts';
import { type DraftField, draftOf, type EntryDraft } from '../data/entries.ts';
import { Dialog, HostileText, Time } from '../parts/index.ts';
import { type Choice, ConflictTable, conflictFields, likelyChoice } from './entry-difference.tsx';

interface EntryConflictProps {
  readonly before: EntryDraft;
  readonly theirs: Entry;
  readonly mine: EntryDraft;
  readonly onTake: (merged: EntryDraft) => void;
  readonly onClose: () => void;
}

export function EntryConflict({ before, theirs: entry, mine, onTake, onClose }: EntryConflictProps) {
  const [choices, setChoices] = useState<Partial<Record<DraftField, Choice>>>({});
  const theirs = draftOf(entry);
  const merged = (): EntryDraft => {
    const taken = conflictFields(before, theirs, mine).map((field) => {
      const choice = choices[field] ?? likelyChoice(field, before, mine);
      return [field, choice === 'mine' ? mine[field] : theirs[field]];
    });
    return { ...theirs, ...Object.fromEntries(taken) };
  };
  return (
    <Dialog title="Somebody changed this entry meanwhile" onClose={onClose} wide>
      <p>
        Nothing was saved. The entry is at revision {entry.revision_number} since <Time at={entry.updated_at} />
        {entry.source !== 'api' && (
          <>
            , by the source <HostileText text={entry.source} />
          </>
        )}
        . Choose for each field what you want, and preview it again.
      </p>
      <ConflictTable
        before={before}
        theirs={theirs}
        mine={mine}
        choices={choices}
        onChoose={(field, choice) => setChoices((others) => ({ ...others, [field]: choice }))}
      />
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Back to the form
        </button>
        <button type="button" class="primary" onClick={() => onTake(merged())}>
          Take this into the form
        </button>
      </div>
    </Dialog>
  );
}
