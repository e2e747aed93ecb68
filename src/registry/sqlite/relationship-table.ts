/** The table of federation relationships; times are milliseconds since the epoch. */

import { parseSpiffeId, parseTrustDomain, type TrustDomain } from '../../spiffe/index.ts';
import { ENDPOINT_PROFILES, type Relationship } from '../relationship.ts';
import type { Access } from './access.ts';
import type { Logs } from './logs.ts';
import { type NamedTable, namedTable } from './named-table.ts';

interface RelationshipRow {
  trust_domain: string;
  url: string;
  profile: string;
  endpoint_spiffe_id: string | null;
  /** PEM. */
  endpoint_ca: string | null;
  created_at: number;
  updated_at: number;
}

/** @param own the server's trust domain, with which it has no relationship */
export function relationshipTable(access: Access, logs: Logs, own: TrustDomain): NamedTable<Relationship> {
  return namedTable<Relationship, RelationshipRow>(access, logs, {
    table: 'relationships',
    what: 'relationship',
    columns: ['trust_domain', 'url', 'profile', 'endpoint_spiffe_id', 'endpoint_ca', 'created_at', 'updated_at'],
    toRow: (relationship) => ({
      trust_domain: relationship.trustDomain,
      url: relationship.url,
      profile: relationship.profile,
      endpoint_spiffe_id: relationship.endpointSpiffeId ?? null,
      endpoint_ca: relationship.endpointCa ?? null,
      created_at: relationship.createdAt,
      updated_at: relationship.updatedAt,
    }),
    fromRow: (row) => {
      const trustDomain = parseTrustDomain(row.trust_domain);
      if (trustDomain === own) throw new Error(`${own} is the server's own trust domain`);
      const profile = ENDPOINT_PROFILES.find((one) => one === row.profile);
      if (profile === undefined) throw new Error(`${JSON.stringify(row.profile)} is not a profile`);
      if ((row.endpoint_spiffe_id !== null) !== (profile === 'https_spiffe')) {
        throw new Error('only https_spiffe has a SPIFFE ID of the endpoint');
      }
      return {
        trustDomain,
        url: row.url,
        profile,
        endpointSpiffeId: row.endpoint_spiffe_id === null ? undefined : parseSpiffeId(row.endpoint_spiffe_id),
        endpointCa: row.endpoint_ca ?? undefined,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      };
    },
  });
}
