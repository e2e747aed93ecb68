/** The table of other trust domains' bundles; times are milliseconds since the epoch. */

import { X509Certificate } from 'node:crypto';
import {
  certificateBlocks,
  type JwtAuthority,
  makeTrustBundle,
  parseTrustDomain,
  type TrustDomain,
} from '../../spiffe/index.ts';
import { BUNDLE_SOURCES, type FederatedBundle } from '../federated-bundle.ts';
import type { Access } from './access.ts';
import type { Logs } from './logs.ts';
import { type NamedTable, namedTable } from './named-table.ts';

interface BundleRow {
  trust_domain: string;
  pem: string;
  sequence_number: number;
  refresh_hint: number | null;
  /** JSON: `[{"keyId":"1","publicKey":{"kty":"EC",…}}]` */
  jwt_authorities: string;
  source: string;
  /** Decimal digits, since the number may have 64 bits. */
  stated_sequence: string | null;
  updated_at: number;
}

/** @param own the server's trust domain, whose bundle is not stored here */
export function bundleTable(access: Access, logs: Logs, own: TrustDomain): NamedTable<FederatedBundle> {
  return namedTable<FederatedBundle, BundleRow>(access, logs, {
    table: 'federated_bundles',
    what: 'bundle',
    columns: [
      'trust_domain',
      'pem',
      'sequence_number',
      'refresh_hint',
      'jwt_authorities',
      'source',
      'stated_sequence',
      'updated_at',
    ],
    toRow: (bundle) => ({
      trust_domain: bundle.trustDomain,
      pem: bundle.pem.toString('latin1'),
      sequence_number: bundle.sequenceNumber,
      refresh_hint: bundle.refreshHint ?? null,
      jwt_authorities: JSON.stringify(bundle.jwtAuthorities),
      source: bundle.source,
      stated_sequence: bundle.statedSequence?.toString() ?? null,
      updated_at: bundle.updatedAt,
    }),
    fromRow: (row) => {
      const trustDomain = parseTrustDomain(row.trust_domain);
      if (trustDomain === own) throw new Error(`${own} is the server's own trust domain`);
      const source = BUNDLE_SOURCES.find((one) => one === row.source);
      if (source === undefined) throw new Error(`${JSON.stringify(row.source)} is not a source of bundles`);
      const blocks = certificateBlocks(row.pem);
      if (blocks.length === 0 && source === 'manual') throw new Error('it has no certificate');
      return {
        ...makeTrustBundle({
          trustDomain,
          roots: blocks.map((block) => new X509Certificate(block)),
          jwtAuthorities: JSON.parse(row.jwt_authorities) as JwtAuthority[],
          sequenceNumber: row.sequence_number,
          refreshHint: row.refresh_hint ?? undefined,
        }),
        source,
        statedSequence: row.stated_sequence === null ? undefined : BigInt(row.stated_sequence),
        updatedAt: row.updated_at,
      };
    },
  });
}
