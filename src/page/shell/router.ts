/** The address: paths below /ui, and filters in the query. */

import { signal } from '@preact/signals';

const BASE = '/ui';

export interface Place {
  /** Below /ui, without a slash at its end: `/proxies`; `/` for the overview. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Counts moves to another path by the reader; changed filters do not count. */
  readonly visit: number;
}

export const place = signal<Place>(read(0));

let isArriving = false;

/** True once after each move to another view: its heading then takes the focus, which screen readers read. */
export function takeArrival(): boolean {
  const was = isArriving;
  isArriving = false;
  return was;
}

/** Values of a query; undefined and '' leave the name out, a list gives it several times. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** The address of a view, for `href`. */
export function href(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of [value].flat()) if (one !== undefined && one !== '') params.append(name, String(one));
  return `${BASE}${path}${params.size === 0 ? '' : `?${params}`}`;
}

/** Goes to an address that {@link href} made. */
export function navigate(to: string, { replace = false }: { replace?: boolean } = {}): void {
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  follow();
}

/**
 * Changes filters of the present view: names that are not given stay. The entry in the browser's history is replaced, so
 * that Back leaves the view.
 */
export function setQuery(changes: Query): void {
  const { path, query } = place.peek();
  const all: Record<string, string[]> = {};
  for (const name of query.keys()) all[name] = query.getAll(name);
  navigate(href(path, { ...all, ...changes }), { replace: true });
}

/** Follows the address from now on, and clicks on links to views. */
export function startRouter(): void {
  if (!location.pathname.startsWith(`${BASE}/`)) history.replaceState(null, '', `${BASE}/${location.hash}`);
  place.value = { ...read(0), visit: 1 };
  addEventListener('popstate', follow);
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest('a');
    if (link === null || link.target !== '' || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || !link.pathname.startsWith(`${BASE}/`)) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}

function follow(): void {
  const before = place.peek();
  const now = read(before.visit);
  if (now.path === before.path) place.value = now;
  else {
    isArriving = before.visit > 0;
    place.value = { ...now, visit: before.visit + 1 };
  }
}

function read(visit: number): Place {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : '';
  return { path: path.replace(/\/+$/, '') || '/', query: new URLSearchParams(location.search), visit };
}

/** The parameters of a path by a pattern such as `/entries/:id`; undefined if it does not match. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index]!;
    if (part.startsWith(':')) {
      const decoded = decode(value);
      if (decoded === undefined) return undefined;
      params[part.slice(1)] = decoded;
    } else if (part !== value) return undefined;
  }
  return params;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
