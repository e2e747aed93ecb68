/**
 * Ordered entries and their pages. A cursor names a position by creation time and id, so added and deleted entries do
 * not move it.
 */

import { SidekeyError } from '../base/index.ts';
import { formatSelector } from '../spiffe/index.ts';
import { compareAge } from './entry.ts';
import type { Entry, ListQuery, Registry } from './types.ts';

type ListPosition = Pick<Entry, 'createdAt' | 'id'>;

/** Maximum number of entries that a search looks at for one page, so that it blocks the event loop for milliseconds only. */
const SEARCHED = 20_000;

/**
 * The page of `ordered` (oldest first) that the query requests. A page of a search may be short, even empty, before the last.
 * @throws ERR_BAD_INPUT for a cursor that no page returned
 */
export function listPage(ordered: readonly Entry[], query: ListQuery): { entries: Entry[]; nextCursor: string } {
  const start = query.cursor === undefined ? 0 : firstAfter(ordered, readCursor(query.cursor));
  const entries: Entry[] = [];
  const search = query.search?.toLowerCase();
  for (let at = start; at < ordered.length; at += 1) {
    const entry = ordered[at]!;
    if (search !== undefined && at - start === SEARCHED) return { entries, nextCursor: writeCursor(ordered[at - 1]!) };
    if (!wanted(entry, query) || (search !== undefined && !has(entry, search))) continue;
    if (entries.length === query.limit) return { entries, nextCursor: writeCursor(entries.at(-1)!) };
    entries.push(entry);
  }
  return { entries, nextCursor: '' };
}

/** Entries of one page. */
const PAGE = 1_000;

/** All entries, oldest first. Entries may change between two that are taken. */
export function* everyEntry(registry: Pick<Registry, 'list'>): Iterable<Entry> {
  let cursor: string | undefined;
  do {
    const page = registry.list({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    yield* page.entries;
    cursor = page.nextCursor;
  } while (cursor !== '');
}

/** Inserts a new entry at its position, usually the end. */
export function insertInOrder(ordered: Entry[], entry: Entry): void {
  ordered.splice(firstAfter(ordered, entry), 0, entry);
}

export function removeFromOrder(ordered: Entry[], entry: Entry): void {
  ordered.splice(firstAfter(ordered, entry) - 1, 1);
}

function wanted(entry: Entry, query: ListQuery): boolean {
  if (query.spiffeId !== undefined && entry.spiffeId !== query.spiffeId) return false;
  if (query.hint !== undefined && entry.hint !== query.hint) return false;
  if (query.source !== undefined && entry.source !== query.source) return false;
  if (query.selectors === undefined) return true;
  const keys = entry.selectors.map(formatSelector);
  return query.selectors.every((selector) => keys.includes(selector));
}

/** @param search in lower case */
function has({ id, spiffeId, hint, dnsNames, selectors }: Entry, search: string): boolean {
  const isIn = (text: string) => text.toLowerCase().includes(search);
  if (isIn(spiffeId) || isIn(id) || isIn(hint) || dnsNames.some(isIn)) return true;
  return selectors.some((selector) => isIn(formatSelector(selector)));
}

function firstAfter(ordered: readonly Entry[], place: ListPosition): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareAge(ordered[middle]!, place) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function writeCursor({ createdAt, id }: ListPosition): string {
  return Buffer.from(`${createdAt} ${id}`).toString('base64url');
}

function readCursor(cursor: string): ListPosition {
  const match = /^(\d{1,15}) ([\w.-]+)$/.exec(Buffer.from(cursor, 'base64url').toString());
  const place = match === null ? undefined : { createdAt: Number(match[1]), id: match[2]! };
  // Encoded again for comparison, since the decoder skips invalid characters.
  if (place !== undefined && writeCursor(place) === cursor) return place;
  throw SidekeyError.badInput([
    {
      path: '?cursor',
      problem: 'it is not a cursor',
      rule: 'a cursor is the next_cursor of the page before, unchanged',
    },
  ]);
}
