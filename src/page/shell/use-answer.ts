/** Data of the server in a component: read once, and again after lost changes, events or at the reader's wish. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { LiveEvent } from '../data/wire.ts';
import { epoch, onChange } from './live.ts';

export interface Answer<T> {
  /** The newest answer; stays while it is read again, and when that fails. Undefined before the first. */
  readonly data: T | undefined;
  /** Why the last reading failed. */
  readonly error: unknown;
  readonly loading: boolean;
  readonly reload: () => void;
}

export interface AnswerOptions {
  /** Reads again, at most once a second, after events of these types, such as `entry_created`. */
  readonly on?: readonly string[];
  /** Says whether an event of these types concerns the data; by default each does. */
  readonly when?: (event: LiveEvent) => boolean;
}

/** Least time between two readings because of events, in milliseconds. */
const AGAIN_MS = 1_000;

/**
 * @param key what is read, such as the address of the view: a new key drops the former data
 * @param load reads it; the signal aborts when the answer is not needed any more
 */
export function useAnswer<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  { on, when }: AnswerOptions = {},
): Answer<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: unknown; loading: boolean }>({
    key,
    loading: true,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef({ load, when });
  latest.current = { load, when };
  // `turn` and `seen` are reasons to read again.
  const seen = epoch.value;
  useEffect(() => {
    const stop = new AbortController();
    setState((before) => (before.key === key ? { ...before, loading: true } : { key, loading: true }));
    latest.current.load(stop.signal).then(
      (data) => {
        if (!stop.signal.aborted) setState({ key, data, loading: false });
      },
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setState((before) => ({ ...(before.key === key ? before : { key }), error, loading: false }));
      },
    );
    return () => stop.abort();
  }, [key, turn, seen]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const types = on?.join(' ') ?? '';
  useEffect(() => {
    if (types === '') return;
    const wanted = types.split(' ');
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const unlisten = onChange(({ events = [] }) => {
      if (timer !== undefined) return;
      if (!events.some((one) => wanted.includes(one.type) && (latest.current.when?.(one) ?? true))) return;
      timer = setTimeout(
        () => {
          timer = undefined;
          last = Date.now();
          reload();
        },
        Math.max(0, last + AGAIN_MS - Date.now()),
      );
    });
    return () => {
      unlisten();
      clearTimeout(timer);
    };
  }, [types, reload]);
  const mine = state.key === key ? state : { loading: true, data: undefined, error: undefined };
  return { data: mine.data, error: mine.error, loading: mine.loading, reload };
}
