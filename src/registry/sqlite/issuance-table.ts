/** The table of issuances, in the order of recording. */

import { type IssuedDetail, issuanceLine, LineDigest, SERVER } from '../../audit/index.ts';
import type { IssuanceRecord } from '../../base/index.ts';
import type { IssuanceStore } from '../store/issuance-store.ts';
import type { Access } from './access.ts';
import { type AuditLog, issuanceBytes } from './audit-table.ts';

const COLUMNS = `serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
  not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt`;

/** @param audit undefined: no rows in the audit, for comparisons only */
export function issuanceTable({ db, read, write }: Access, audit: AuditLog | undefined): IssuanceStore {
  const insert = db.prepare<[number, string, string, string, string, number, number, number]>(`
    INSERT INTO issuances (sequence, serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
  const newest = db.prepare<[], number | null>('SELECT max(sequence) FROM issuances').pluck();
  const ofAll = db.prepare<[{ limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances ORDER BY sequence DESC LIMIT @limit`,
  );
  const ofOne = db.prepare<[{ spiffeId?: string; limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances WHERE spiffe_id = @spiffeId ORDER BY sequence DESC LIMIT @limit`,
  );
  const isIssued = db.prepare<[string]>('SELECT 1 FROM issuances WHERE spiffe_id = ? LIMIT 1');

  return {
    recordIssuances: async (records) =>
      write(() => {
        if (records.length === 0) return;
        const first = (newest.get() ?? 0) + 1;
        for (const [
          at,
          { serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt },
        ] of records.entries()) {
          insert.run(first + at, serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt);
        }
        if (audit === undefined) return;
        const detail = issuedDetail(first, records);
        const event = { at: records[0]!.issuedAt, action: 'svid.issued', by: SERVER, detail } as const;
        audit.add([event], { issuanceBytes: issuanceBytes(records) });
      }),
    newest: async (query) => read(() => (query.spiffeId === undefined ? ofAll : ofOne).all(query)),
    issuedOf: async (spiffeIds) => read(() => new Set(spiffeIds.filter((id) => isIssued.get(id) !== undefined))),
  };
}

/** One row of the audit for all issuances of a transaction: a row for each would slow issuance down. */
function issuedDetail(first: number, records: readonly IssuanceRecord[]): IssuedDetail {
  const lines = new LineDigest();
  let latestEnd = 0;
  for (const [at, record] of records.entries()) {
    lines.add(issuanceLine(first + at, record));
    latestEnd = Math.max(latestEnd, record.notAfter);
  }
  return { first, last: first + records.length - 1, latest_end: latestEnd, digest: lines.hex() };
}
