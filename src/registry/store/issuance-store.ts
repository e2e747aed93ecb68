/** Stores records of issuances, which are never changed, and deleted only by pruning the audit (`audit-store.ts`). */

import type { IssuanceRecord } from '../../base/index.ts';

export interface IssuanceStore {
  /** Durable when the promise resolves. One transaction, with one row of the audit: if it throws, none is recorded. @throws ERR_STORE */
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
  /** The newest issuances of a SPIFFE ID, or of all if none is given; newest first. @throws ERR_STORE */
  newest(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]>;
  /** Those of these SPIFFE IDs for which an SVID was ever issued. @throws ERR_STORE */
  issuedOf(spiffeIds: readonly string[]): Promise<Set<string>>;
}
