/** Stores records of issuances, which are never changed; those of certificates are never deleted. */

import type { IssuanceRecord } from '../../base/index.ts';

export interface IssuanceStore {
  /** Durable when the promise resolves. One transaction: if it throws, none is recorded. @throws ERR_STORE */
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
  /** The newest issuances of a SPIFFE ID, or of all if none is given; newest first. @throws ERR_STORE */
  newest(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]>;
  /**
   * Deletes records of tokens that ended before this instant, at most `limit` of them. A power cut may bring them back.
   * Returns their number. @throws ERR_STORE
   */
  pruneTokens(endedBefore: number, limit: number): Promise<number>;
  /** Those of these SPIFFE IDs of which an issuance is on record. @throws ERR_STORE */
  issuedOf(spiffeIds: readonly string[]): Promise<Set<string>>;
}
