/** Bundles and aliases as rows of the database: times are milliseconds since the epoch. */

import { X509Certificate } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { makeTrustBundle } from '../spiffe/bundle.ts';
import { parseSpiffeId, parseTrustDomain, type TrustDomain, trustDomainOf } from '../spiffe/id.ts';
import type { Alias } from './aliases.ts';
import type { FederatedBundle } from './federated-bundles.ts';
import type { NamedStore } from './named.ts';

/** Does the work, and makes an ERR_STORE of what goes wrong with it; `what` ends "the file could not be …". */
export type Guard = <T>(what: string, work: () => T) => T;

/** What a store of named things knows of its table; the first column is the name. */
interface Table<T, Row> {
  readonly name: string;
  readonly columns: readonly (keyof Row & string)[];
  toRow(value: T): Row;
  /** @throws {Error} when it is none: someone edited the database, so nothing of it is trusted */
  fromRow(row: Row): T;
}

interface BundleRow {
  trust_domain: string;
  pem: string;
  sequence_number: number;
  refresh_hint: number | null;
  updated_at: number;
}

/** @param own the server's trust domain, whose bundle is the authority's */
export function bundleStore(db: Database, guard: Guard, own: TrustDomain): NamedStore<FederatedBundle> {
  return namedStore<FederatedBundle, BundleRow>(db, guard, {
    name: 'federated_bundles',
    columns: ['trust_domain', 'pem', 'sequence_number', 'refresh_hint', 'updated_at'],
    toRow: (bundle) => ({
      trust_domain: bundle.trustDomain,
      pem: bundle.pem.toString('latin1'),
      sequence_number: bundle.sequenceNumber,
      refresh_hint: bundle.refreshHint ?? null,
      updated_at: bundle.updatedAt,
    }),
    fromRow: (row) => {
      const trustDomain = parseTrustDomain(row.trust_domain);
      if (trustDomain === own) throw new Error(`${own} is the own trust domain`);
      const blocks = row.pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
      if (blocks === null) throw new Error('it has no certificate');
      return {
        ...makeTrustBundle(
          trustDomain,
          blocks.map((block) => new X509Certificate(block)),
          row.sequence_number,
        ),
        refreshHint: row.refresh_hint ?? undefined,
        updatedAt: row.updated_at,
      };
    },
  });
}

interface AliasRow {
  host: string;
  spiffe_id: string;
  created_at: number;
  updated_at: number;
}

/** @param own the server's trust domain, which every alias stands for an ID of */
export function aliasStore(db: Database, guard: Guard, own: TrustDomain): NamedStore<Alias> {
  return namedStore<Alias, AliasRow>(db, guard, {
    name: 'aliases',
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

function namedStore<T, Row>(db: Database, guard: Guard, table: Table<T, Row>): NamedStore<T> {
  const { name, columns } = table;
  const key = columns[0]!;
  const put = db.prepare<[Row]>(
    `INSERT OR REPLACE INTO ${name} (${columns.join(', ')}) VALUES (${columns.map((column) => `@${column}`).join(', ')})`,
  );
  const remove = db.prepare<[string]>(`DELETE FROM ${name} WHERE ${key} = ?`);
  const select = db.prepare(`SELECT ${columns.join(', ')} FROM ${name}`);
  const read = (row: Row): T => {
    try {
      return table.fromRow(row);
    } catch (thrown) {
      throw new RowError(`${name}, ${String(row[key])}: ${(thrown as Error).message}`, { cause: thrown });
    }
  };
  return {
    load: async () => guard('read', () => (select.all() as Row[]).map(read)),
    put: async (value) => guard('written', () => void put.run(table.toRow(value))),
    delete: async (one) => guard('written', () => void remove.run(one)),
  };
}

/** A row that Sidekey can't have written. */
export class RowError extends Error {}
