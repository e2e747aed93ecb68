/** The table of issuances, in the order of recording. */

import { type IssuedDetail, issuanceLine, LineDigest, SERVER } from '../../audit/index.ts';
import { type IssuanceRecord, Slices } from '../../base/index.ts';
import { type IssuanceStore, type IssuanceTarget, TOKEN_SPAN_MS } from '../store/issuance-store.ts';
import type { Access } from './access.ts';
import { type AuditLog, issuanceBytes } from './audit-table.ts';
import { COLUMNS, issuanceSearch } from './issuance-search.ts';

/** `value` is that of the statement's column. Times in milliseconds since the epoch. */
interface EndsQuery {
  readonly from: number;
  readonly to: number;
  readonly value: string;
  readonly limit: number;
}

/** A search of the unexpired certificates runs in so many parts, between which the event loop runs. */
const SEARCH_PARTS = 32;

/** @param audit undefined: no rows in the audit, for comparisons only */
export function issuanceTable(
  { db, read, write, writeWithoutSync }: Access,
  audit: AuditLog | undefined,
): IssuanceStore {
  const insert = db.prepare<[number, string, string, string, string, string, number, number, number]>(`
    INSERT INTO issuances
      (sequence, kind, serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const newest = db.prepare<[], number | null>('SELECT max(sequence) FROM issuances').pluck();
  const ofAll = db.prepare<[{ limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances ORDER BY sequence DESC LIMIT @limit`,
  );
  const ofOne = db.prepare<[{ spiffeId?: string; limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances WHERE spiffe_id = @spiffeId ORDER BY sequence DESC LIMIT @limit`,
  );
  const isIssued = db.prepare<[string]>('SELECT 1 FROM issuances WHERE spiffe_id = ? LIMIT 1');
  const latestEnd = db.prepare<[], number | null>("SELECT max(not_after) FROM issuances WHERE kind = 'x509'").pluck();
  // The `+` keeps the planner from an index with ended certificates in it.
  const unexpiredOf = (column: string) =>
    db.prepare<[EndsQuery], IssuanceRecord & { sequence: number }>(`
      SELECT sequence, ${COLUMNS} FROM issuances
      WHERE kind = 'x509' AND not_after BETWEEN @from AND @to AND +${column} = @value
      ORDER BY not_after DESC, sequence DESC LIMIT @limit`);
  const bySerial = unexpiredOf('serial');
  const bySpiffeId = unexpiredOf('spiffe_id');
  const byEntry = unexpiredOf('entry_id');
  // The newest one stays, because the next number follows it.
  const ended = `FROM issuances WHERE kind = 'jwt' AND not_after < @endedBefore
    AND sequence < (SELECT max(sequence) FROM issuances)`;
  const hasEnded = db.prepare<[{ endedBefore: number }]>(`SELECT 1 ${ended} LIMIT 1`);
  const removedTokens = db
    .prepare<[], number | null>('SELECT max(removed_tokens) FROM audit WHERE removed_tokens IS NOT NULL')
    .pluck();
  const prune = db.prepare<[{ endedBefore: number; limit: number }]>(
    `DELETE FROM issuances WHERE sequence IN (SELECT sequence ${ended} ORDER BY not_after LIMIT @limit)`,
  );

  const searchFor = (target: IssuanceTarget) => {
    if ('serial' in target) return [bySerial, target.serial] as const;
    return 'entryId' in target ? ([byEntry, target.entryId] as const) : ([bySpiffeId, target.spiffeId] as const);
  };

  /** Adds the row that lets these tokens be removed, if there is none yet. */
  const markRemoved = (endedBefore: number, at: number): void => {
    const detail = { ended_before: endedBefore };
    const event = { at, action: 'audit.tokens_pruned', by: SERVER, detail } as const;
    audit?.add([event], { tokensPruned: detail });
  };

  return {
    recordIssuances: async (records) =>
      write(() => {
        let sequence = newest.get() ?? 0;
        for (const group of groupsOf(records)) {
          const first = sequence + 1;
          for (const one of group) {
            const { kind, serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt } = one;
            sequence += 1;
            insert.run(sequence, kind, serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt);
          }
          if (audit === undefined) continue;
          const detail = issuedDetail(first, group);
          const event = { at: group[0]!.issuedAt, action: 'svid.issued', by: SERVER, detail } as const;
          // Tokens are removed soon after their end, so they do not count for the size of the audit.
          audit.add([event], { issuanceBytes: detail.kind === 'jwt' ? 0 : issuanceBytes(group) });
        }
      }),
    newest: async (query) => read(() => (query.spiffeId === undefined ? ofAll : ofOne).all(query)),
    unexpired: async (target, now, limit) => {
      const [search, value] = searchFor(target);
      const slices = new Slices();
      const found: (IssuanceRecord & { sequence: number })[] = [];
      let to = read(() => latestEnd.get()) ?? 0;
      const span = Math.ceil((to - now + 1) / SEARCH_PARTS);
      for (; to >= now && found.length < limit; to -= span) {
        const query = { from: Math.max(now, to - span + 1), to, value, limit: limit - found.length };
        found.push(...read(() => search.all(query)));
        if (slices.isOver()) await slices.next();
      }
      return found.sort((a, b) => b.sequence - a.sequence).map(({ sequence: _, ...record }) => record);
    },
    search: issuanceSearch({ db, read }),
    pruneTokens: async (now, limit) => {
      // Only whole groups end before this.
      const endedBefore = Math.floor(now / TOKEN_SPAN_MS) * TOKEN_SPAN_MS;
      const isDue = read(() => hasEnded.get({ endedBefore }) !== undefined && (removedTokens.get() ?? 0) < endedBefore);
      if (isDue) write(() => markRemoved(endedBefore, now));
      return writeWithoutSync(() => prune.run({ endedBefore, limit }).changes);
    },
    issuedOf: async (spiffeIds) => read(() => new Set(spiffeIds.filter((id) => isIssued.get(id) !== undefined))),
  };
}

/**
 * The groups that get a row of the audit each: the certificates, and the tokens that end within the same span of time, so
 * that the records of a group of tokens can be removed together.
 */
function groupsOf(records: readonly IssuanceRecord[]): Iterable<readonly IssuanceRecord[]> {
  return Map.groupBy(records, ({ kind, notAfter }) =>
    kind === 'x509' ? kind : Math.floor(notAfter / TOKEN_SPAN_MS),
  ).values();
}

/** One row of the audit for all issuances of a group: a row for each would slow issuance down. */
function issuedDetail(first: number, group: readonly IssuanceRecord[]): IssuedDetail {
  const lines = new LineDigest();
  let latestEnd = 0;
  for (const [at, record] of group.entries()) {
    lines.add(issuanceLine(first + at, record));
    latestEnd = Math.max(latestEnd, record.notAfter);
  }
  const { kind } = group[0]!;
  return { kind, first, last: first + group.length - 1, latest_end: latestEnd, digest: lines.hex() };
}
