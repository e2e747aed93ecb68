/** The table of decisions. */

import type { DecisionRecord } from '../decision.ts';
import type { DecisionStore } from '../store/decision-store.ts';
import type { Access } from './access.ts';

/** Columns for the fields that are searched; the rest is JSON. */
interface DecisionRow {
  id: string;
  at: number;
  pid: number;
  spiffe_id: string | null;
  ended_at: number | null;
  owner: string;
  record: string;
}

/** Commits do not wait for the disk, since they must not delay pushes. A power cut may lose the last records. */
export function decisionTable({ db, read, writeWithoutSync: write }: Access): DecisionStore {
  const put = db.prepare<[DecisionRow]>(`
    INSERT INTO decisions (id, at, pid, spiffe_id, ended_at, owner, record)
    VALUES (@id, @at, @pid, @spiffe_id, @ended_at, @owner, @record)
    ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, record = excluded.record`);
  const end = db.prepare<[number, string]>('UPDATE decisions SET ended_at = ? WHERE id = ?');
  const endAll = db.prepare<[number]>(
    "UPDATE decisions SET ended_at = ? WHERE ended_at IS NULL AND record ->> '$.kind' = 'held'",
  );
  const prune = db.prepare<[{ keep: number; since: number }]>(`
    DELETE FROM decisions WHERE (at < @since AND (ended_at IS NOT NULL OR record ->> '$.kind' <> 'held'))
      OR sequence <= (SELECT sequence FROM decisions ORDER BY sequence DESC LIMIT 1 OFFSET @keep)`);
  const pruneOwner = db.prepare<[{ owner: string; keep: number }]>(`
    DELETE FROM decisions WHERE owner = @owner AND sequence <=
      (SELECT sequence FROM decisions WHERE owner = @owner ORDER BY sequence DESC LIMIT 1 OFFSET @keep)`);
  const one = db.prepare<[string]>('SELECT * FROM decisions WHERE id = ?');
  const page = db.prepare(`
    SELECT * FROM decisions
    WHERE sequence < @before AND (@pid IS NULL OR pid = @pid) AND (@spiffeId IS NULL OR spiffe_id = @spiffeId)
      AND (@reason IS NULL OR record ->> '$.reason' = @reason)
      AND (@connection IS NULL OR (at >= @since AND record ->> '$.connection' = @connection))
    ORDER BY sequence DESC LIMIT @limit`);

  return {
    write: async ({ put: records, ended }) =>
      write(() => {
        for (const record of records) put.run(toRow(record));
        for (const { id, at } of ended) end.run(at, id);
      }),
    prune: async (keep, since) => write(() => void prune.run({ keep, since })),
    pruneOwner: async (owner, keep) => write(() => void pruneOwner.run({ owner, keep })),
    endAll: async (at) => write(() => void endAll.run(at)),
    get: async (id) =>
      read(() => {
        const row = one.get(id) as DecisionRow | undefined;
        return row && fromRow(row);
      }),
    list: async ({ pid, spiffeId, reason, connection, limit, cursor }) =>
      read(() => {
        const before = cursor ?? Number.MAX_SAFE_INTEGER;
        const of = { connection: connection?.id ?? null, since: connection?.since ?? 0 };
        const given = { pid: pid ?? null, spiffeId: spiffeId ?? null, reason: reason ?? null, ...of, before };
        const rows = page.all({ ...given, limit: limit + 1 }) as (DecisionRow & { sequence: number })[];
        const decisions = rows.slice(0, limit);
        return {
          decisions: decisions.map(fromRow),
          nextCursor: rows.length > limit ? decisions.at(-1)!.sequence : undefined,
        };
      }),
  };
}

function toRow({ id, at, pid, spiffeId, endedAt, owner, ...rest }: DecisionRecord): DecisionRow {
  return { id, at, pid, spiffe_id: spiffeId ?? null, ended_at: endedAt ?? null, owner, record: JSON.stringify(rest) };
}

function fromRow({ id, at, pid, spiffe_id, ended_at, owner, record }: DecisionRow): DecisionRecord {
  const rest = JSON.parse(record) as Omit<DecisionRecord, 'id' | 'at' | 'pid' | 'spiffeId' | 'endedAt' | 'owner'>;
  return { ...rest, id, at, pid, spiffeId: spiffe_id ?? undefined, endedAt: ended_at ?? undefined, owner };
}
