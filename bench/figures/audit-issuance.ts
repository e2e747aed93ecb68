/** Issuance with the audit on, beside the same records without its rows. */

import path from 'node:path';
import Sqlite from 'better-sqlite3';
import type { IssuanceLog } from '../../src/ca/types.ts';
import { accessTo } from '../../src/registry/sqlite/access.ts';
import { auditTable } from '../../src/registry/sqlite/audit-table.ts';
import { issuanceTable } from '../../src/registry/sqlite/issuance-table.ts';
import { migrate } from '../../src/registry/sqlite/migrations.ts';
import { type Cleanup, type Figure, medianShare, percentile } from '../figure.ts';
import { EACH, issue, openAuthority, ROUNDS } from './leaf-svids.ts';

export async function auditIssuance(cleanup: Cleanup): Promise<Figure[]> {
  const open = (audited: boolean) => openAuthority(cleanup, (directory) => openRecord(cleanup, directory, audited));
  const [without, with_] = [await open(false), await open(true)];
  for (const ca of [without, with_]) await issue(ca);
  const [bare, audited]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    bare!.push(await issue(without));
    audited!.push(await issue(with_));
  }
  return [
    {
      name: 'audit-issuance',
      value: medianShare(audited!, bare!),
      unit: 'share',
      compared_with: {
        'with the audit, 1/s': percentile(audited!, 0.5),
        'without, 1/s': percentile(bare!, 0.5),
        reach: 'a share of 0.90',
      },
      how: `medians of ${ROUNDS} rounds in turn of ${EACH} SVIDs, all asked for at once, each with a new key, checked, and on record in SQLite (synchronous=FULL): with the row of the audit and the digest of its issuances in the same transaction, and without; the share is the median of those of a round and the one before`,
    },
  ];
}

/** The table of issuances as the store opens it. */
function openRecord(cleanup: Cleanup, directory: string, audited: boolean): IssuanceLog {
  const file = path.join(directory, 'bench.db');
  const db = new Sqlite(file);
  cleanup.after(() => db.close());
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  migrate(db);
  const access = accessTo(db, file);
  return issuanceTable(access, audited ? auditTable(access).log : undefined);
}
