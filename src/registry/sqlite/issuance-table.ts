/** The table of issuances, in the order of recording. */

import type { IssuanceRecord } from '../../base/index.ts';
import type { IssuanceStore } from '../store/issuance-store.ts';
import type { Access } from './access.ts';

const COLUMNS = `kind, serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
  not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt`;

export function issuanceTable({ db, read, write, writeWithoutSync }: Access): IssuanceStore {
  const insert = db.prepare<[IssuanceRecord]>(`
    INSERT INTO issuances (kind, serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
    VALUES (@kind, @serial, @spiffeId, @entryId, @authorityId, @notBefore, @notAfter, @issuedAt)`);
  const ofAll = db.prepare<[{ limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances ORDER BY sequence DESC LIMIT @limit`,
  );
  const ofOne = db.prepare<[{ spiffeId?: string; limit: number }], IssuanceRecord>(
    `SELECT ${COLUMNS} FROM issuances WHERE spiffe_id = @spiffeId ORDER BY sequence DESC LIMIT @limit`,
  );
  const isIssued = db.prepare<[string]>('SELECT 1 FROM issuances WHERE spiffe_id = ? LIMIT 1');
  const prune = db.prepare<[{ endedBefore: number; limit: number }]>(`
    DELETE FROM issuances WHERE sequence IN (
      SELECT sequence FROM issuances WHERE kind = 'jwt' AND not_after < @endedBefore ORDER BY not_after LIMIT @limit)`);

  return {
    recordIssuances: async (records) =>
      write(() => {
        for (const record of records) insert.run(record);
      }),
    newest: async (query) => read(() => (query.spiffeId === undefined ? ofAll : ofOne).all(query)),
    pruneTokens: async (endedBefore, limit) => writeWithoutSync(() => prune.run({ endedBefore, limit }).changes),
    issuedOf: async (spiffeIds) => read(() => new Set(spiffeIds.filter((id) => isIssued.get(id) !== undefined))),
  };
}
