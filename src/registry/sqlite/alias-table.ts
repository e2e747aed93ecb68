/** The table of aliases; times are milliseconds since the epoch. */

import { parseSpiffeId, type TrustDomain, trustDomainOf } from '../../spiffe/index.ts';
import type { Alias } from '../alias.ts';
import type { Access } from './access.ts';
import type { Logs } from './logs.ts';
import { type NamedTable, namedTable } from './named-table.ts';

interface AliasRow {
  host: string;
  spiffe_id: string;
  created_at: number;
  updated_at: number;
}

/** @param own the server's trust domain; all aliases are for IDs in it */
export function aliasTable(access: Access, logs: Logs, own: TrustDomain): NamedTable<Alias> {
  return namedTable<Alias, AliasRow>(access, logs, {
    table: 'aliases',
    what: 'alias',
    columns: ['host', 'spiffe_id', 'created_at', 'updated_at'],
    toRow: ({ host, spiffeId, createdAt, updatedAt }) => ({
      host,
      spiffe_id: spiffeId,
      created_at: createdAt,
      updated_at: updatedAt,
    }),
    fromRow: (row) => {
      const spiffeId = parseSpiffeId(row.spiffe_id);
      if (trustDomainOf(spiffeId) !== own) throw new Error(`${spiffeId} is not in ${own}`);
      return { host: row.host, spiffeId, createdAt: row.created_at, updatedAt: row.updated_at };
    },
  });
}
