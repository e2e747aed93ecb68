/** Where the records of issuances are kept. They are only ever added. */

import type { IssuanceRecord } from '../../base/issuance.ts';

export interface IssuanceStore {
  /** Durable when the promise resolves. One transaction: if it throws, none is on record. @throws ERR_STORE */
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
  /** The newest issuances of a SPIFFE ID, or of all SPIFFE IDs if none is given; the newest first. @throws ERR_STORE */
  newest(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]>;
  /** Of these SPIFFE IDs, the ones that were ever issued. @throws ERR_STORE */
  issuedOf(spiffeIds: readonly string[]): Promise<Set<string>>;
}
