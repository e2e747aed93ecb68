/** Data of the server in a component: read once, and again after lost changes, events or at the reader's wish. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { PageEvent } from '../../gen/admin-api.ts';
import type { ChangedKind } from '../data/wire.ts';
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
  /** Reads again, at most once a second, after changes of these kinds. */
  readonly on?: readonly ChangedKind[];
  /** Reads again after such events too. Messages leave out events when there are many: prefer `on`. */
  readonly when?: (event: PageEvent) => boolean;
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
  const kinds = on?.join(' ') ?? '';
  useEffect(() => {
    const wanted = kinds.split(' ');
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const unlisten = onChange(({ events, changed }) => {
      if (timer !== undefined) return;
      const isMine = changed.some((kind) => wanted.includes(kind)) || events.some((one) => latest.current.when?.(one));
      if (!isMine) return;
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
  }, [kinds, reload]);
  const mine = state.key === key ? state : { loading: true, data: undefined, error: undefined };
  return { data: mine.data, error: mine.error, loading: mine.loading, reload };
}
