/** What stands where data is missing: nothing yet, an error, or still loading. */

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from '../shell/api.ts';
import type { Answer } from '../shell/use-answer.ts';
import { HostileText } from './hostile-text.tsx';

/** Says what to do first where there is nothing to show. */
export function EmptyState({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Why something failed, with each fault of the input, and a way to try again. */
export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const problems = error instanceof ApiError ? error.problems : [];
  return (
    <div class="note bad" role="alert">
      <p>
        <HostileText text={error instanceof Error ? error.message : String(error)} />
        {error instanceof ApiError && <code class="code">{error.code}</code>}
      </p>
      {problems.length > 0 && (
        <ul>
          {problems.map(({ path, problem, rule }) => (
            <li key={path}>
              <code>{path}</code> <HostileText text={problem} /> <span class="muted">{rule}</span>
            </li>
          ))}
        </ul>
      )}
      {onRetry !== undefined && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shown only if it takes a moment, so that fast answers do not flicker. */
export function Loading({ what = 'Loading' }: { what?: string }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return (
    <p class="loading" role="status">
      {late ? `${what}…` : ''}
    </p>
  );
}

/** Shows an answer, or why there is none; a failed reading stands above the former data. */
export function Answered<T>({ answer, children }: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, loading, reload } = answer;
  return (
    <>
      {error !== undefined && !loading && <ErrorNote error={error} onRetry={reload} />}
      {data !== undefined ? children(data) : error === undefined || loading ? <Loading /> : null}
    </>
  );
}
