/** An entry as the admin API, the command line and their files show it. */

import type { Selector } from '../spiffe/selector.ts';
import type { Entry } from './types.ts';

/** Every member is always there. Times are RFC 3339 in UTC. */
export interface EntryJson {
  readonly id: string;
  readonly spiffe_id: string;
  readonly selectors: readonly Selector[];
  readonly parent_id: string;
  /** Seconds; 0: the server's default. */
  readonly x509_svid_ttl: number;
  /** Seconds; 0: the server's default. */
  readonly jwt_svid_ttl: number;
  readonly dns_names: readonly string[];
  readonly federates_with: readonly string[];
  readonly hint: string;
  readonly allow_contained: boolean;
  /** null: never. */
  readonly expires_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly revision_number: number;
  readonly source: string;
}

export function entryToJson(entry: Entry): EntryJson {
  return {
    id: entry.id,
    spiffe_id: entry.spiffeId,
    selectors: entry.selectors,
    parent_id: entry.parentId,
    x509_svid_ttl: entry.x509SvidTtl,
    jwt_svid_ttl: entry.jwtSvidTtl,
    dns_names: entry.dnsNames,
    federates_with: entry.federatesWith,
    hint: entry.hint,
    allow_contained: entry.allowContained,
    expires_at: entry.expiresAt === 0 ? null : new Date(entry.expiresAt).toISOString(),
    created_at: new Date(entry.createdAt).toISOString(),
    updated_at: new Date(entry.updatedAt).toISOString(),
    revision_number: entry.revisionNumber,
    source: entry.source,
  };
}
