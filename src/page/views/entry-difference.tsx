/** Differences between two or three states of an entry, field by field. */

import { CHANGEABLE, type DraftField, type EntryDraft, isSameIn, LABELS } from '../data/entries.ts';
import { type Column, HostileText, Mark, SimpleTable } from '../parts/index.ts';

/** The value of a field for the eye; lines that the other one lacks are marked. */
export function Value({ draft, field, against }: { draft: EntryDraft; field: DraftField; against?: EntryDraft }) {
  const value = draft[field];
  if (typeof value === 'boolean') return <>{value ? 'may have it' : 'only by a selector about the container'}</>;
  if (typeof value === 'string') {
    if (value.trim() !== '') return <HostileText text={value} />;
    return <span class="muted">{EMPTY[field] ?? 'none'}</span>;
  }
  const lines = value.filter((line) => line.trim() !== '');
  const others = new Set<string>((against?.[field] as readonly string[] | undefined)?.map((line) => line.trim()));
  const gone = against === undefined ? [] : [...others].filter((line) => line !== '' && !lines.includes(line));
  if (lines.length + gone.length === 0) return <span class="muted">none</span>;
  return (
    <ul class="plain">
      {lines.map((line) => (
        <li key={line}>
          {against !== undefined && !others.has(line.trim()) && (
            <Mark tone="good">
              added<span class="unseen-label">: </span>
            </Mark>
          )}{' '}
          <HostileText text={line} />
        </li>
      ))}
      {gone.map((line) => (
        <li key={line}>
          <Mark tone="bad">
            removed<span class="unseen-label">: </span>
          </Mark>{' '}
          <del>
            <HostileText text={line} />
          </del>
        </li>
      ))}
    </ul>
  );
}

const EMPTY: Partial<Record<DraftField, string>> = {
  x509_svid_ttl: "the server's default",
  jwt_svid_ttl: "the server's default",
  x509_svid_key_type: "the server's default",
  expires_at: 'never',
};

interface DifferenceProps {
  readonly before: EntryDraft;
  readonly after: EntryDraft;
  readonly fields: readonly DraftField[];
}

export function Difference({ before, after, fields }: DifferenceProps) {
  const columns: readonly Column<DraftField>[] = [
    { key: 'field', title: 'Field', width: 9, cell: (field) => <b>{LABELS[field]}</b> },
    { key: 'before', title: 'Before', width: 14, cell: (field) => <Value draft={before} field={field} /> },
    {
      key: 'after',
      title: 'After',
      width: 14,
      cell: (field) => <Value draft={after} field={field} against={before} />,
    },
  ];
  return <SimpleTable label="What changes" rows={fields} rowKey={(field) => field} columns={columns} />;
}

export type Choice = 'mine' | 'theirs';

/** The fields in which the entry as somebody else changed it, or what was typed, differs from the state before. */
export function conflictFields(before: EntryDraft, theirs: EntryDraft, mine: EntryDraft): readonly DraftField[] {
  return CHANGEABLE.filter((field) => !isSameIn(field, before, theirs) || !isSameIn(field, before, mine));
}

/** What is taken unless the reader decides: what only one of both changed, and of what both changed the reader's. */
export function likelyChoice(field: DraftField, before: EntryDraft, mine: EntryDraft): Choice {
  return isSameIn(field, before, mine) ? 'theirs' : 'mine';
}

interface ConflictProps {
  readonly before: EntryDraft;
  readonly theirs: EntryDraft;
  readonly mine: EntryDraft;
  readonly choices: Readonly<Partial<Record<DraftField, Choice>>>;
  readonly onChoose: (field: DraftField, choice: Choice) => void;
}

export function ConflictTable({ before, theirs, mine, choices, onChoose }: ConflictProps) {
  const columns: readonly Column<DraftField>[] = [
    {
      key: 'field',
      title: 'Field',
      width: 9,
      cell: (field) => (
        <>
          <b>{LABELS[field]}</b>
          {isBoth(field, before, theirs, mine) && (
            <div>
              <Mark tone="warn">both changed it</Mark>
            </div>
          )}
        </>
      ),
    },
    { key: 'before', title: 'Before', width: 11, cell: (field) => <Value draft={before} field={field} /> },
    ...(['theirs', 'mine'] as const).map(
      (whose): Column<DraftField> => ({
        key: whose,
        title: whose === 'theirs' ? 'Theirs' : 'Mine',
        width: 12,
        cell: (field) => (
          <label class="check conflict-choice">
            <input
              type="radio"
              name={`conflict-${field}`}
              checked={(choices[field] ?? likelyChoice(field, before, mine)) === whose}
              onChange={() => onChoose(field, whose)}
            />
            <span>
              <span class="unseen-label">
                {whose} for {LABELS[field]}:{' '}
              </span>
              <Value draft={whose === 'theirs' ? theirs : mine} field={field} against={before} />
            </span>
          </label>
        ),
      }),
    ),
  ];
  const fields = conflictFields(before, theirs, mine);
  return <SimpleTable label="Before, theirs and mine" rows={fields} rowKey={(field) => field} columns={columns} />;
}

function isBoth(field: DraftField, before: EntryDraft, theirs: EntryDraft, mine: EntryDraft): boolean {
  return !isSameIn(field, before, theirs) && !isSameIn(field, before, mine) && !isSameIn(field, theirs, mine);
}
