/**
 * The table of the audit. Rows are added in the transaction of the change that they record. Triggers refuse changed rows,
 * rows out of order, and deletions of rows that no `audit.pruned` row, or for tokens no `audit.tokens_pruned` row, covers.
 */

import {
  type AuditEvent,
  chainHash,
  type EventBody,
  type IssuedDetail,
  NO_HASH,
  type PrunedDetail,
  recordOf,
  SERVER,
  type TokensPrunedDetail,
} from '../../audit/index.ts';
import type { IssuanceRecord } from '../../base/index.ts';
import type { AppendOptions, AuditRow, AuditStore } from '../store/audit-store.ts';
import type { Access } from './access.ts';

/** The bytes that a row takes besides its record, about. */
const ROW_BYTES = 80;
/** The bytes that an issuance takes besides its SPIFFE ID, which is stored twice, about. */
const ISSUANCE_BYTES = 185;

/** For the other tables: adds rows inside their transactions. */
export interface AuditLog {
  add(events: readonly (AuditEvent | EventBody)[], options?: AddOptions): void;
}

export interface AddOptions extends AppendOptions {
  readonly pruned?: PrunedDetail;
  readonly tokensPruned?: TokensPrunedDetail;
  /** Bytes that the events' issuances take. */
  readonly issuanceBytes?: number;
}

export interface AuditTable {
  readonly log: AuditLog;
  readonly store: AuditStore;
}

interface Last {
  readonly sequence: number;
  readonly hash: string;
  readonly total: number;
}

interface StoredRow extends AuditRow {
  /** The bytes of all rows up to this one, since the first. */
  readonly total: number;
}

/** The bytes that a group of issuances of certificates takes, about. */
export function issuanceBytes(records: readonly IssuanceRecord[]): number {
  return records.reduce((sum, { spiffeId }) => sum + 2 * spiffeId.length + ISSUANCE_BYTES, 0);
}

export function auditTable({ db, read, write, writeWithoutSync }: Access): AuditTable {
  const insert = db.prepare<[number, string, string, number, ...(number | null)[]]>(`
    INSERT INTO audit
      (sequence, record, hash, total, removed_to, removed_issuances, removed_tokens, authority_revision)
    VALUES (?, ?, unhex(?), ?, ?, ?, ?, ?)`);
  const newest = db.prepare<[], Last>(
    'SELECT sequence, lower(hex(hash)) AS hash, total FROM audit ORDER BY sequence DESC LIMIT 1',
  );
  const pruned = db.prepare<[], { last: number; issuances: number; record: string; total: number }>(`
    SELECT removed_to AS last, removed_issuances AS issuances, record, total FROM audit
    WHERE removed_to IS NOT NULL ORDER BY removed_to DESC LIMIT 1`);
  const columns = 'sequence, record, lower(hex(hash)) AS hash';
  const up = db.prepare<[number, number], AuditRow>(
    `SELECT ${columns} FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?`,
  );
  const down = db.prepare<[number, number, number], AuditRow>(
    `SELECT ${columns} FROM audit WHERE sequence < ? AND sequence > ? ORDER BY sequence DESC LIMIT ?`,
  );
  const withTotals = db.prepare<[number, number], StoredRow>(
    `SELECT ${columns}, total FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?`,
  );
  const hashOf = db.prepare<[number], string>('SELECT lower(hex(hash)) FROM audit WHERE sequence = ?').pluck();
  const revision = db
    .prepare<[], number | null>('SELECT max(authority_revision) FROM audit WHERE authority_revision IS NOT NULL')
    .pluck();
  const range = db.prepare<[number, number], IssuanceRecord & { number: number }>(`
    SELECT sequence AS number, kind, serial, spiffe_id AS spiffeId, entry_id AS entryId, authority_id AS authorityId,
      not_before AS notBefore, not_after AS notAfter, issued_at AS issuedAt
    FROM issuances WHERE sequence BETWEEN ? AND ? ORDER BY sequence`);
  const latestEnd = db
    .prepare<[number], number | null>('SELECT max(not_after) FROM issuances WHERE sequence <= ?')
    .pluck();
  const deleteRows = db.prepare<[number, number]>(
    'DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit WHERE sequence <= ? ORDER BY sequence LIMIT ?)',
  );
  // The newest one stays, because the next number follows it.
  const deleteIssuances = db.prepare<[number, number]>(`
    DELETE FROM issuances WHERE sequence IN (
      SELECT sequence FROM issuances WHERE sequence <= ? AND sequence < (SELECT max(sequence) FROM issuances)
      ORDER BY sequence LIMIT ?)`);

  const last = (): Last => newest.get() ?? { sequence: 0, hash: NO_HASH, total: 0 };
  const log: AuditLog = {
    add: (events, { authorityRevision, pruned: removed, tokensPruned, issuanceBytes: more = 0 } = {}) => {
      let { sequence, hash, total } = last();
      for (const [at, event] of events.entries()) {
        sequence += 1;
        const record = recordOf(sequence, event);
        hash = chainHash(hash, record);
        total += record.length + ROW_BYTES + (at === 0 ? more : 0);
        const isLast = at === events.length - 1;
        const revised = isLast ? (authorityRevision ?? null) : null;
        const endedBefore = tokensPruned?.ended_before ?? null;
        insert.run(
          sequence,
          record,
          hash,
          total,
          removed?.last ?? null,
          removed?.issuances ?? null,
          endedBefore,
          revised,
        );
      }
    },
  };
  /** The newest removal that is on record. */
  const removal = () => {
    const row = pruned.get();
    if (row === undefined) return { last: 0, issuances: 0, hash: NO_HASH };
    const { detail } = JSON.parse(row.record) as { detail: PrunedDetail };
    return { last: row.last, issuances: row.issuances, hash: detail.hash };
  };

  const store: AuditStore = {
    append: async (events, options) => write(() => log.add(events, options)),
    head: async () =>
      read(() => {
        const { sequence, hash, total } = last();
        const { last: removed, hash: after } = removal();
        const [first] = withTotals.all(removed, 1);
        // The first row counts only as its own record: its total has those of all rows before.
        const bytes = first === undefined ? 0 : total - first.total + first.record.length;
        return { sequence, hash, after: { sequence: removed, hash: after }, bytes };
      }),
    rows: async (query) =>
      read(() => {
        const { last: removed } = removal();
        if ('after' in query) return up.all(Math.max(query.after, removed), query.limit);
        return down.all(query.before, removed, query.limit);
      }),
    issuances: async (first, end) =>
      read(() => range.all(first, end).map(({ number, ...record }) => ({ number, record }))),
    authorityRevision: async () => read(() => revision.get() ?? 0),
    prunable: async ({ before, maxBytes, now }, limit, from) =>
      read(() => {
        const { sequence, total } = last();
        let { last: end, issuances } = from ?? removal();
        const rows = withTotals.all(end, limit);
        let found = false;
        for (const row of rows) {
          if (row.sequence === sequence) break;
          const { at, action, detail } = JSON.parse(row.record) as {
            at: string;
            action: string;
            detail?: Partial<IssuedDetail> & { readonly issuances_before?: number };
          };
          const isGroup = action === 'svid.issued';
          const old = action === 'audit.started' ? (detail?.issuances_before ?? 0) : 0;
          const ends = isGroup ? detail!.latest_end! : old > 0 ? (latestEnd.get(old) ?? 0) : 0;
          const isOld = Date.parse(at) < before && ends < before;
          const isBeyond = total - row.total + row.record.length > maxBytes;
          if (!(isOld || isBeyond) || ends >= now) break;
          found = true;
          end = row.sequence;
          if (isGroup) issuances = detail!.last!;
          else if (old > 0) issuances = old;
        }
        if (!found) return undefined;
        return { last: end, issuances, more: rows.at(-1)?.sequence === end };
      }),
    markPruned: async ({ last: end, issuances }, at) =>
      write(() => {
        const before = removal();
        const hash = hashOf.get(end);
        if (end <= before.last || hash === undefined) return;
        const detail: PrunedDetail = { last: end, hash, issuances };
        const event: AuditEvent = { at, action: 'audit.pruned', by: SERVER, detail };
        // The newest revision must outlive the row that has it.
        log.add([event], { pruned: detail, authorityRevision: revision.get() ?? undefined });
      }),
    deletePruned: async (limit) =>
      writeWithoutSync(() => {
        const { last: end, issuances } = removal();
        const rows = deleteRows.run(end, limit).changes;
        const records = deleteIssuances.run(issuances, limit).changes;
        return rows === limit || records === limit;
      }),
  };
  return { log, store };
}
