/** A state as a colour, a shape and a word, so that none of them is needed alone. */

import type { SecretState } from '../data/wire.ts';

/** How much a state matters: it gives the colour and the shape. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'off';

const SHAPES: Readonly<Record<Tone, string>> = {
  good: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm-1 8.6L4.4 8l1.1-1.1L7 8.4l3.5-3.5L11.6 6z',
  busy: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 1.6v8.8a4.4 4.4 0 0 1 0-8.8z',
  warn: 'M8 1.8 15 14H1zm-.8 4.4v4h1.6v-4zm0 5.2v1.4h1.6v-1.4z',
  bad: 'M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zm-.3 4.4L7 8l-2.1 2.1 1 1L8 9l2.1 2.1 1-1L9 8l2.1-2.1-1-1L8 7 5.9 4.9z',
  off: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 1.6a4.4 4.4 0 1 1 0 8.8 4.4 4.4 0 0 1 0-8.8z',
};

/** A word with its tone. */
export function Mark({ tone, children }: { tone: Tone; children: preact.ComponentChildren }) {
  return (
    <span class={`mark ${tone}`}>
      <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" focusable="false">
        <path d={SHAPES[tone]} fill="currentColor" fill-rule="evenodd" />
      </svg>
      <span>{children}</span>
    </span>
  );
}

/** Worst first: the order of filters and counts. */
export const SECRET_STATES: readonly SecretState[] = ['rejected', 'stale', 'held', 'unknown', 'sent', 'in_sync'];

/** The words, tones and meanings of the states of secrets. */
export const STATES: Readonly<Record<SecretState, { word: string; tone: Tone; means: string }>> = {
  rejected: { word: 'rejected', tone: 'bad', means: 'the proxy answered with an error (NACK)' },
  stale: { word: 'stale', tone: 'warn', means: 'sent more than 30 s ago and not answered' },
  held: { word: 'held', tone: 'warn', means: 'requested, but nothing may be sent yet' },
  unknown: { word: 'unknown', tone: 'off', means: 'a name that no secret can have' },
  sent: { word: 'sent', tone: 'busy', means: 'sent, and not answered yet' },
  in_sync: { word: 'in sync', tone: 'good', means: 'the proxy acknowledged the newest version' },
};

/** @param state a state of a secret; `none` for a proxy without secrets */
export function StateMark({ state }: { state: SecretState | 'none' }) {
  if (state === 'none') return <Mark tone="off">no secrets</Mark>;
  const { word, tone } = STATES[state];
  return <Mark tone={tone}>{word}</Mark>;
}
