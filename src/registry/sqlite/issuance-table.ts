/** The table of issuances, in the order of recording. */

import type { IssuanceRecord } from '../../base/index.ts';
import type { IssuanceStore } from '../store/issuance-store.ts';
import type { Access } from './access.ts';

const COLUMNS = `serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
  not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt`;

export function issuanceTable({ db, read, write }: Access): IssuanceStore {
  const insert = db.prepare<[IssuanceRecord]>(`
    INSERT INTO issuances (serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
    VALUES (@serial, @spiffeId, @entryId, @authorityId, @notBefore, @notAfter, @issuedAt)`);
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
        for (const record of records) insert.run(record);
      }),
    newest: async (query) => read(() => (query.spiffeId === undefined ? ofAll : ofOne).all(query)),
    issuedOf: async (spiffeIds) => read(() => new Set(spiffeIds.filter((id) => isIssued.get(id) !== undefined))),
  };
}
