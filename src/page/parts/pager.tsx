/** Goes through the pages of a list that the server gives by cursors; the cursor stands in the address. */

import { href, navigate, place } from '../shell/router.ts';

/** The address of the page before, by the address of a page: cursors lead forwards only. */
const before = new Map<string, string>();

/** @param what the rows: `entries` @param next the cursor of the next page; empty on the last one */
export function Pager({ what, next }: { what: string; next: string }) {
  const { path, query } = place.value;
  const here = href(path, Object.fromEntries(query));
  const atCursor = (cursor: string | undefined) => {
    const all: Record<string, string[]> = {};
    for (const name of query.keys()) if (name !== 'cursor') all[name] = query.getAll(name);
    return href(path, { ...all, cursor });
  };
  const isFirst = !query.has('cursor');
  const previous = before.get(here);
  if (isFirst && next === '') return null;
  return (
    <fieldset class="pager" aria-label={`Pages of ${what}`}>
      <button type="button" disabled={isFirst} onClick={() => navigate(atCursor(undefined))}>
        First page
      </button>
      {previous !== undefined && (
        <button type="button" onClick={() => navigate(previous)}>
          Previous page
        </button>
      )}
      <button
        type="button"
        disabled={next === ''}
        onClick={() => {
          const to = atCursor(next);
          before.set(to, here);
          navigate(to);
        }}
      >
        Next page
      </button>
    </fieldset>
  );
}
