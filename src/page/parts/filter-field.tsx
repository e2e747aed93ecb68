/** A field whose value stands in the address. It follows the typing with a pause, since each change asks the server. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { place, setQuery } from '../shell/router.ts';
import { Field } from './field.tsx';

/** How long after the last key the address changes, in milliseconds. */
const PAUSE_MS = 250;

interface FilterFieldProps {
  /** Of the parameter in the address. */
  readonly name: string;
  readonly label: string;
  readonly placeholder?: string;
  /** What is wrong with it. */
  readonly error?: string | undefined;
  /** Values to choose from; others are possible too. */
  readonly choices?: readonly string[];
}

/** A change of a filter leads to the first page. */
export function FilterField({ name, label, placeholder, error, choices }: FilterFieldProps) {
  const set = place.value.query.get(name) ?? '';
  const [text, setText] = useState(set);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const put = (value: string) => {
    clearTimeout(timer.current);
    const now = place.peek().query.get(name) ?? '';
    if (value.trim() !== now) setQuery({ [name]: value.trim(), cursor: undefined });
  };
  useEffect(() => setText((before) => (before.trim() === set ? before : set)), [set]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <Field label={label} error={error}>
      {(control) => (
        <>
          <input
            {...control}
            type="search"
            value={text}
            placeholder={placeholder}
            spellcheck={false}
            autocomplete="off"
            maxLength={300}
            list={choices === undefined ? undefined : `${control.id}-list`}
            onInput={({ currentTarget: { value } }) => {
              setText(value);
              clearTimeout(timer.current);
              timer.current = setTimeout(() => put(value), PAUSE_MS);
            }}
            onKeyDown={({ key }) => {
              if (key === 'Enter') put(text);
            }}
            onBlur={() => put(text)}
          />
          {choices !== undefined && (
            <datalist id={`${control.id}-list`}>
              {choices.map((choice) => (
                <option key={choice} value={choice} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

interface FilterChoiceProps {
  readonly name: string;
  readonly label: string;
  /** Each value with its word; the first one is '', for all. */
  readonly choices: readonly (readonly [value: string, word: string])[];
}

export function FilterChoice({ name, label, choices }: FilterChoiceProps) {
  return (
    <Field label={label}>
      {(control) => (
        <select
          {...control}
          value={place.value.query.get(name) ?? ''}
          onChange={({ currentTarget: { value } }) => setQuery({ [name]: value, cursor: undefined })}
        >
          {choices.map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A time in the reader's zone; in the address it is RFC 3339, in UTC. */
export function FilterTime({ name, label, error }: Pick<FilterFieldProps, 'name' | 'label' | 'error'>) {
  const set = place.value.query.get(name) ?? '';
  return (
    <Field label={label} error={error}>
      {(control) => (
        <input
          {...control}
          type="datetime-local"
          step={1}
          value={localTime(set)}
          onChange={({ currentTarget: { value } }) => {
            const time = Date.parse(value);
            setQuery({ [name]: Number.isNaN(time) ? '' : new Date(time).toISOString(), cursor: undefined });
          }}
        />
      )}
    </Field>
  );
}

/** As the field wants it: `2027-01-31T12:00:00`, in the reader's zone. */
function localTime(at: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return '';
  const two = (value: number) => String(value).padStart(2, '0');
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-');
  return `${day}T${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}`;
}
