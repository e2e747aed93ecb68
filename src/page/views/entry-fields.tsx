/** The fields of the form of an entry, each with its rule, and the server's errors beside it. */

import { useId, useRef, useState } from 'preact/hooks';
import type { InputProblem } from '../../gen/admin-api.ts';
import { type DraftField, type EntryDraft, LABELS, type ListField, placeOf } from '../data/entries.ts';
import { type ControlProps, Field, HostileText, Icon, Time } from '../parts/index.ts';

interface EntryFieldsProps {
  readonly draft: EntryDraft;
  readonly isNew: boolean;
  readonly problems: readonly InputProblem[];
  readonly onChange: (draft: EntryDraft) => void;
}

/** Beginnings of selectors, offered while one types. */
const SELECTORS = [
  'unix:uid:',
  'unix:user:',
  'unix:gid:',
  'unix:group:',
  'unix:supplementary_gid:',
  'unix:path:',
  'unix:sha256:',
  'docker:label:',
  'docker:image_id:',
  'docker:image_name:',
  'docker:env:',
];

const HINTS: Readonly<Record<DraftField, string>> = {
  spiffe_id: 'spiffe://<trust domain>/<path>; a segment may be a placeholder such as {unix.user}',
  selectors:
    'type:value, such as unix:uid:1000. Processes that have all of them get the SPIFFE ID; !type:value must be missing.',
  hint: '"default" makes it the answer to the SDS name default.',
  dns_names: 'In the certificate, besides the SPIFFE ID.',
  federates_with: 'Other trust domains whose bundles its holders get.',
  x509_svid_ttl: "Such as 1h, 30m or 90s. Empty: the server's default.",
  x509_svid_key_type: '',
  jwt_svid_ttl: "Such as 5m. Empty: the server's default.",
  allow_contained: '',
  expires_at: 'RFC 3339, such as 2027-01-31T12:00:00Z; nothing is issued from then on. Empty: never.',
  parent_id: "Kept and shown for SPIRE's files; it grants nothing.",
  id: 'A to Z, a to z, 0 to 9, dot, hyphen and underscore. Empty: the server makes one.',
};

/** Fields that few entries have. */
const FURTHER = [
  'x509_svid_ttl',
  'jwt_svid_ttl',
  'x509_svid_key_type',
  'dns_names',
  'federates_with',
  'parent_id',
  'id',
] as const;

export function EntryFields({ draft, isNew, problems, onChange }: EntryFieldsProps) {
  const put = <F extends DraftField>(field: F, value: EntryDraft[F]) => onChange({ ...draft, [field]: value });
  const text = (
    field: Exclude<DraftField, ListField | 'allow_contained'>,
    more: { mono?: boolean; list?: string } = {},
  ) => (
    <Field label={LABELS[field]} hint={HINTS[field]} error={errorOf(field, undefined, draft, problems)}>
      {(control) => (
        <TextInput control={control} value={draft[field]} onInput={(value) => put(field, value)} {...more} />
      )}
    </Field>
  );
  const list = (field: ListField, one: string, suggestions?: readonly string[]) => (
    <ListInput
      field={field}
      one={one}
      draft={draft}
      problems={problems}
      {...(suggestions !== undefined && { suggestions })}
      onChange={(lines) => put(field, lines)}
    />
  );
  const [isOpen, setOpen] = useState(() => FURTHER.some((field) => field !== 'id' && draft[field].length > 0));
  const isFaulty = problems.some(({ path }) => FURTHER.some((field) => placeOf(path, draft)?.field === field));
  return (
    <>
      {text('spiffe_id', { mono: true })}
      {list('selectors', 'selector', SELECTORS)}
      {text('hint')}
      <label class="check">
        <input
          type="checkbox"
          checked={draft.allow_contained}
          onChange={({ currentTarget: { checked } }) => put('allow_contained', checked)}
        />
        Callers in containers may have it, though no selector is about the container
      </label>
      <div>
        {text('expires_at', { mono: true })}
        <Parsed text={draft.expires_at} />
      </div>
      <details open={isOpen || isFaulty} onToggle={({ currentTarget: { open } }) => setOpen(open)}>
        <summary>Lifetimes, names, federation, key type and IDs</summary>
        <div class="entry-form-further">
          {text('x509_svid_ttl')}
          {text('jwt_svid_ttl')}
          <Field label={LABELS.x509_svid_key_type} error={errorOf('x509_svid_key_type', undefined, draft, problems)}>
            {(control) => (
              <select
                {...control}
                value={draft.x509_svid_key_type}
                onChange={({ currentTarget: { value } }) => put('x509_svid_key_type', value)}
              >
                <option value="">the server's default</option>
                <option value="ec-p256">EC P-256</option>
                <option value="rsa-2048">RSA 2048</option>
              </select>
            )}
          </Field>
          {list('dns_names', 'DNS name')}
          {list('federates_with', 'trust domain')}
          {text('parent_id', { mono: true })}
          {isNew && text('id', { mono: true })}
        </div>
      </details>
    </>
  );
}

/** The problems of a field, or of one line of a list, with their rules. */
function errorOf(
  field: DraftField,
  line: number | undefined,
  draft: EntryDraft,
  problems: readonly InputProblem[],
): string | undefined {
  const mine = problems.filter(({ path }) => {
    const place = placeOf(path, draft);
    return place?.field === field && place.line === line;
  });
  if (mine.length === 0) return undefined;
  return mine.map(({ problem, rule }) => `${problem}: ${rule}`).join('; ');
}

interface TextInputProps {
  readonly control: ControlProps;
  readonly value: string;
  readonly mono?: boolean;
  readonly list?: string;
  readonly onInput: (value: string) => void;
}

function TextInput({ control, value, mono = false, list, onInput }: TextInputProps) {
  return (
    <input
      {...control}
      type="text"
      class={mono ? 'mono' : ''}
      value={value}
      spellcheck={false}
      autocomplete="off"
      list={list}
      onInput={({ currentTarget }) => onInput(currentTarget.value)}
    />
  );
}

/** The time that a text means, in the reader's words. */
function Parsed({ text }: { text: string }) {
  const time = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d/.test(text.trim()) ? Date.parse(text.trim()) : Number.NaN;
  if (Number.isNaN(time)) return null;
  return (
    <p class="muted">
      That is <Time at={new Date(time).toISOString()} />.
    </p>
  );
}

interface ListInputProps {
  readonly field: ListField;
  /** What one line is: `selector`. */
  readonly one: string;
  readonly draft: EntryDraft;
  readonly problems: readonly InputProblem[];
  readonly suggestions?: readonly string[];
  readonly onChange: (lines: readonly string[]) => void;
}

/** A list of texts, one in each line. */
function ListInput({ field, one, draft, problems, suggestions, onChange }: ListInputProps) {
  const id = useId();
  const box = useRef<HTMLFieldSetElement>(null);
  const lines = draft[field];
  const own = errorOf(field, undefined, draft, problems);
  const focusLine = (at: number) =>
    setTimeout(() => {
      const inputs = box.current?.querySelectorAll('input') ?? [];
      (inputs[Math.min(at, inputs.length - 1)] ?? box.current?.querySelector('button'))?.focus();
    });
  const describedBy = (own === undefined ? [`${id}-hint`] : [`${id}-hint`, `${id}-error`]).join(' ');
  return (
    <fieldset class={own === undefined ? 'field list' : 'field list invalid'} ref={box} aria-describedby={describedBy}>
      <legend>{LABELS[field]}</legend>
      <p class="hint" id={`${id}-hint`}>
        {HINTS[field]}
      </p>
      {lines.map((line, at) => {
        const error = errorOf(field, at, draft, problems);
        const name = `${one[0]!.toUpperCase()}${one.slice(1)} ${at + 1}`;
        return (
          <div key={at} class="line">
            <input
              type="text"
              class="mono"
              aria-label={name}
              aria-invalid={error !== undefined || (own !== undefined && at === 0)}
              aria-describedby={error === undefined ? undefined : `${id}-error-${at}`}
              value={line}
              spellcheck={false}
              autocomplete="off"
              list={suggestions === undefined ? undefined : `${id}-list`}
              onInput={({ currentTarget: { value } }) => onChange(lines.with(at, value))}
            />
            <button
              type="button"
              class="icon-button"
              title={`Remove ${name}`}
              onClick={() => {
                onChange(lines.toSpliced(at, 1));
                focusLine(at);
              }}
            >
              <Icon name="close" />
              <span class="unseen-label">Remove {name}</span>
            </button>
            {error !== undefined && (
              <p class="error" id={`${id}-error-${at}`}>
                <HostileText text={error} />
              </p>
            )}
          </div>
        );
      })}
      {own !== undefined && (
        <p class="error" id={`${id}-error`}>
          <HostileText text={own} />
        </p>
      )}
      <div>
        <button
          type="button"
          class="small"
          onClick={() => {
            onChange([...lines, '']);
            focusLine(lines.length);
          }}
        >
          Add {one}
        </button>
      </div>
      {suggestions !== undefined && (
        <datalist id={`${id}-list`}>
          {suggestions.map((suggestion) => (
            <option key={suggestion} value={suggestion} />
          ))}
        </datalist>
      )}
    </fieldset>
  );
}
