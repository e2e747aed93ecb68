/** A field of a form, with its rule, and its error beside it. */

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { HostileText } from './hostile-text.tsx';

/** What the control must have, so that screen readers tell label, hint and error. */
export interface ControlProps {
  readonly id: string;
  readonly 'aria-describedby': string | undefined;
  readonly 'aria-invalid': boolean;
}

interface FieldProps {
  readonly label: string;
  /** What may be given. */
  readonly hint?: ComponentChildren;
  /** What is wrong with it. */
  readonly error?: string | undefined;
  /** Makes the input, select or textarea. */
  readonly children: (control: ControlProps) => ComponentChildren;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const describedBy = [hint === undefined ? '' : hintId, error === undefined ? '' : errorId].join(' ').trim();
  return (
    <div class={error === undefined ? 'field' : 'field invalid'}>
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': describedBy || undefined, 'aria-invalid': error !== undefined })}
      {hint !== undefined && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p class="error" id={errorId}>
          <HostileText text={error} />
        </p>
      )}
    </div>
  );
}

interface SearchFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly placeholder?: string;
}

/** A field that filters while one types. */
export function SearchField({ label, value, onChange, placeholder }: SearchFieldProps) {
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={placeholder ?? label}
      value={value}
      spellcheck={false}
      autocomplete="off"
      maxLength={300}
      onInput={(event) => onChange(event.currentTarget.value)}
    />
  );
}
