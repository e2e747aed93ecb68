/** Pages of the audit: rows, and in the place of a row of issuances these issuances. */

import { type Actor, SERVER, sourceOfActor } from '../audit/index.ts';
import { SidekeyError, Slices } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import {
  type AuditFilter,
  issuedIn,
  matchesIssuance,
  matchesRow,
  mayHaveIssuances,
  type ReadRow,
  readRow,
} from './audit-filter.ts';
import type { AuditPageJson, AuditRowJson } from './audit-schema.ts';
import { time } from './time.ts';

export interface PageQuery {
  readonly filter: AuditFilter;
  readonly order: 'newest' | 'oldest';
  readonly limit: number;
  /** As the previous page said; undefined: the first page. */
  readonly cursor: string | undefined;
}

/** A place between rows, or between the issuances of a row. */
interface Place {
  readonly sequence: number;
  readonly issuance: number | undefined;
}

/** Maximum number of rows and issuances that one request reads; then it answers with what it has found. */
const READ = 20_000;
/** Rows per read. */
const ROWS_AT_ONCE = 100;
/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 3;
/** How far the clock may have been set back: rows out of order of time by more are not found by `since` and `until`. */
const SET_BACK_MS = 24 * 3_600_000;

/** @throws ERR_BAD_INPUT for a cursor that no page has; ERR_STORE */
export async function auditPage(store: AuditStore, query: PageQuery): Promise<AuditPageJson> {
  const { filter, order, limit } = query;
  const down = order === 'newest';
  const head = await store.head();
  const rows: AuditRowJson[] = [];
  let place = query.cursor === undefined ? await beginOf(store, query, head.sequence) : readCursor(query.cursor);
  let read = 0;
  const slices = new Slices(SLICE_MS);
  let isLast = false;
  const page = (next: Place | undefined): AuditPageJson => ({
    rows,
    next_cursor: next === undefined ? '' : cursorOf(next),
    head: { sequence: head.sequence, hash: head.hash },
  });
  while (!isLast) {
    const chunk = await store.rows({ ...rangeOf(place, down), limit: ROWS_AT_ONCE });
    isLast = chunk.length < ROWS_AT_ONCE;
    for (const row of chunk) {
      if (!down && row.sequence > head.sequence) return page(undefined);
      const one = readRow(row);
      if (isBeyond(one, filter, down)) return page(undefined);
      read += 1;
      const from = place.issuance !== undefined && place.sequence === row.sequence ? place.issuance : undefined;
      const issued = issuedIn(one.record);
      if (issued === undefined) {
        if (matchesRow(one, filter)) {
          if (rows.length === limit) return page(place);
          rows.push({ ...one.record, hash: row.hash } as AuditRowJson);
        }
      } else if (mayHaveIssuances(one, filter)) {
        const first = !down && from !== undefined ? from + 1 : issued.first;
        const last = down && from !== undefined ? from - 1 : issued.last;
        const list = await store.issuances(first, last);
        read += list.length;
        for (const { number, record } of down ? list.toReversed() : list) {
          if (!matchesIssuance(record, one, filter)) continue;
          if (rows.length === limit) return page(place);
          rows.push({
            ...{ sequence: row.sequence, issuance: number, at: time(record.issuedAt), action: one.record.action },
            ...{ actor: SERVER as Actor, source: sourceOfActor(SERVER), target: record.entryId },
            ...{ spiffe_id: record.spiffeId, serial: record.serial },
            detail: {
              kind: record.kind,
              authority_id: record.authorityId,
              not_before: time(record.notBefore),
              expires_at: time(record.notAfter),
            },
            hash: row.hash,
          });
          place = { sequence: row.sequence, issuance: number };
        }
      }
      place = { sequence: row.sequence, issuance: undefined };
      if (read >= READ) return page(place);
      if (slices.isOver()) await slices.next();
    }
  }
  return page(undefined);
}

/** A place inside a row's issuances has this row again. */
function rangeOf({ sequence, issuance }: Place, down: boolean): { before: number } | { after: number } {
  const again = issuance === undefined ? 0 : 1;
  return down ? { before: sequence + again } : { after: sequence - again };
}

/** True if no later row of this order can match, as times increase with the numbers, about. */
function isBeyond({ at }: ReadRow, { since, until }: AuditFilter, down: boolean): boolean {
  if (down) return since !== undefined && at < since - SET_BACK_MS;
  return until !== undefined && at >= until + SET_BACK_MS;
}

/** The place before the first row that can match. */
async function beginOf(store: AuditStore, { filter, order }: PageQuery, newest: number): Promise<Place> {
  if (order === 'oldest') {
    const sequence = filter.since === undefined ? 0 : (await firstSince(store, filter.since - SET_BACK_MS, newest)) - 1;
    return { sequence, issuance: undefined };
  }
  const until = filter.until === undefined ? undefined : filter.until + SET_BACK_MS;
  const sequence = until === undefined ? newest + 1 : await firstSince(store, until, newest);
  return { sequence, issuance: undefined };
}

/** The first row at or after this time, by a binary search; the number after the newest if there is none. */
async function firstSince(store: AuditStore, instant: number, newest: number): Promise<number> {
  let [low, high] = [1, newest + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await store.rows({ after: middle - 1, limit: 1 });
    // Pruned rows have no time, so the row found may be a later one.
    if (row === undefined || readRow(row).at >= instant) high = middle;
    else low = row.sequence + 1;
  }
  return low;
}

const CURSOR = /^(\d{1,15})(?:\.(\d{1,15}))?$/;

function readCursor(text: string): Place {
  const match = CURSOR.exec(text);
  if (match === null) {
    const rule = 'give the next_cursor of the previous page, or the sequence number of a row';
    throw SidekeyError.badInput([{ path: '?cursor', problem: `it is ${JSON.stringify(text)}`, rule }]);
  }
  return { sequence: Number(match[1]), issuance: match[2] === undefined ? undefined : Number(match[2]) };
}

function cursorOf({ sequence, issuance }: Place): string {
  return issuance === undefined ? String(sequence) : `${sequence}.${issuance}`;
}
