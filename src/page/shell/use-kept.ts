/** Keeps the former data in view while data for other filters is read, so that a table does not flicker while one types. */

import { useRef } from 'preact/hooks';
import type { Answer } from './use-answer.ts';

export function useKept<T>(answer: Answer<T>): Answer<T> {
  const last = useRef<T>(undefined);
  if (answer.data !== undefined) last.current = answer.data;
  if (answer.data !== undefined || !answer.loading) return answer;
  return { ...answer, data: last.current };
}
