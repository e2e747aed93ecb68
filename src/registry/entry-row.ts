/** An entry as a row of the database: lists are JSON, times are milliseconds since the epoch. */

import { parseSpiffeId, parseTrustDomain, type TrustDomain, trustDomainOf } from '../spiffe/id.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Entry } from './types.ts';

export interface EntryRow {
  id: string;
  spiffe_id: string;
  selectors: string;
  parent_id: string;
  x509_svid_ttl: number;
  jwt_svid_ttl: number;
  dns_names: string;
  federates_with: string;
  hint: string;
  /** 0 or 1. */
  allow_contained: number;
  expires_at: number;
  created_at: number;
  updated_at: number;
  revision_number: number;
  source: string;
}

/**
 * Reads a row.
 *
 * @throws {Error} when it is not an entry of this trust domain: someone edited the database, so nothing of it is trusted
 */
export function fromRow(row: EntryRow, trustDomain: TrustDomain): Entry {
  const spiffeId = parseSpiffeId(row.spiffe_id);
  if (trustDomainOf(spiffeId) !== trustDomain) throw new Error(`${spiffeId} is not in ${trustDomain}`);
  return {
    id: row.id,
    spiffeId,
    selectors: JSON.parse(row.selectors) as Selector[],
    parentId: row.parent_id,
    x509SvidTtl: row.x509_svid_ttl,
    jwtSvidTtl: row.jwt_svid_ttl,
    dnsNames: JSON.parse(row.dns_names) as string[],
    federatesWith: (JSON.parse(row.federates_with) as string[]).map(parseTrustDomain),
    hint: row.hint,
    allowContained: row.allow_contained === 1,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revisionNumber: row.revision_number,
    source: row.source,
  };
}

export function toRow(entry: Entry): EntryRow {
  return {
    id: entry.id,
    spiffe_id: entry.spiffeId,
    selectors: JSON.stringify(entry.selectors),
    parent_id: entry.parentId,
    x509_svid_ttl: entry.x509SvidTtl,
    jwt_svid_ttl: entry.jwtSvidTtl,
    dns_names: JSON.stringify(entry.dnsNames),
    federates_with: JSON.stringify(entry.federatesWith),
    hint: entry.hint,
    allow_contained: entry.allowContained ? 1 : 0,
    expires_at: entry.expiresAt,
    created_at: entry.createdAt,
    updated_at: entry.updatedAt,
    revision_number: entry.revisionNumber,
    source: entry.source,
  };
}
