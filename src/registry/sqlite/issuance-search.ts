/** Searches the table of issuances, newest first. Only SPIFFE IDs have an index; the rest is looked through in slices. */

import { type IssuanceRecord, Slices } from '../../base/index.ts';
import { type IssuanceQuery, type IssuanceStore, SEARCHED } from '../store/issuance-store.ts';
import type { Access } from './access.ts';

export const COLUMNS = `kind, serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
  not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt`;

/** Records that one statement looks through. */
const CHUNK = 10_000;
/** Records of one SPIFFE ID that one statement reads. */
const CHUNK_OF_ONE = 1_000;
/** How far the clock may have been set back: older records that are out of order by more are not found by `since`. */
const SET_BACK_MS = 24 * 3_600_000;

type Row = IssuanceRecord & { readonly sequence: number };

/** The parameters of a statement; null: any. */
interface Filter {
  readonly prefix: string | null;
  readonly serial: string | null;
  readonly entryId: string | null;
  readonly kind: string | null;
  readonly since: number;
  readonly until: number;
}

export function issuanceSearch({ db, read }: Pick<Access, 'db' | 'read'>): IssuanceStore['search'] {
  const newest = db.prepare<[], number | null>('SELECT max(sequence) FROM issuances').pluck();
  const filter = `(@serial IS NULL OR serial = @serial) AND (@entryId IS NULL OR entry_id = @entryId)
      AND (@kind IS NULL OR kind = @kind) AND (@prefix IS NULL OR substr(spiffe_id, 1, length(@prefix)) = @prefix)
      AND issued_at >= @since AND issued_at < @until`;
  const among = db.prepare<[Filter & { from: number; to: number; limit: number }], Row>(`
    SELECT sequence, ${COLUMNS} FROM issuances WHERE sequence BETWEEN @from AND @to AND ${filter}
    ORDER BY sequence DESC LIMIT @limit`);
  const ofOne = db.prepare<[Filter & { spiffeId: string; to: number; limit: number }], Row>(`
    SELECT * FROM
      (SELECT sequence, ${COLUMNS}, spiffe_id, entry_id, issued_at FROM issuances WHERE spiffe_id = @spiffeId AND sequence <= @to
       ORDER BY sequence DESC LIMIT ${CHUNK_OF_ONE})
    WHERE ${filter} LIMIT @limit`);
  const lowestOfOne = db
    .prepare<[{ spiffeId: string; to: number }], number | null>(`
      SELECT min(sequence) FROM
        (SELECT sequence FROM issuances WHERE spiffe_id = @spiffeId AND sequence <= @to
         ORDER BY sequence DESC LIMIT ${CHUNK_OF_ONE})`)
    .pluck();
  const nextAt = db
    .prepare<[{ to: number }], number>(
      'SELECT issued_at FROM issuances WHERE sequence <= @to ORDER BY sequence DESC LIMIT 1',
    )
    .pluck();

  return async (query) => {
    const { spiffeId, limit, cursor } = query;
    const given = filterOf(query);
    const slices = new Slices();
    const found: Row[] = [];
    let to = cursor === undefined ? (read(() => newest.get()) ?? 0) : cursor - 1;
    let looked = 0;
    while (looked < SEARCHED) {
      const wanted = limit + 1 - found.length;
      if (spiffeId === undefined) {
        found.push(...read(() => among.all({ ...given, from: to - CHUNK + 1, to, limit: wanted })));
        to -= CHUNK;
        looked += CHUNK;
      } else {
        found.push(...read(() => ofOne.all({ ...given, spiffeId, to, limit: wanted })));
        to = (read(() => lowestOfOne.get({ spiffeId, to })) ?? 1) - 1;
        looked += CHUNK_OF_ONE;
      }
      if (found.length > limit) {
        const records = found.slice(0, limit);
        return { records: records.map(withoutSequence), nextCursor: records.at(-1)!.sequence };
      }
      const at = read(() => nextAt.get({ to }));
      if (at === undefined || at < given.since - SET_BACK_MS) {
        return { records: found.map(withoutSequence), nextCursor: undefined };
      }
      if (slices.isOver()) await slices.next();
    }
    return { records: found.map(withoutSequence), nextCursor: to + 1 };
  };
}

function filterOf(query: IssuanceQuery): Filter {
  const { spiffeIdPrefix, serial, entryId, kind, since = 0, until = Number.MAX_SAFE_INTEGER } = query;
  const texts = { prefix: spiffeIdPrefix ?? null, serial: serial ?? null, entryId: entryId ?? null };
  return { ...texts, kind: kind ?? null, since, until };
}

function withoutSequence({
  kind,
  serial,
  spiffeId,
  entryId,
  authorityId,
  notBefore,
  notAfter,
  issuedAt,
}: Row): IssuanceRecord {
  return { kind, serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt };
}
