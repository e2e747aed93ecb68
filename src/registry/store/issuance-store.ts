/** Stores records of issuances, which are never changed, and deleted only by pruning (`audit-store.ts`; tokens after their end). */

import type { IssuanceRecord } from '../../base/index.ts';

/**
 * Tokens that end within the same span are in one group, whose records are removed together when the span is over; in
 * milliseconds.
 */
export const TOKEN_SPAN_MS = 10 * 60_000;

/** Maximum number of records that one search looks through. */
export const SEARCHED = 200_000;

/** The issuances that are looked for. */
export type IssuanceTarget = { readonly serial: string } | { readonly spiffeId: string } | { readonly entryId: string };

/** All given members must match. */
export interface IssuanceQuery {
  /** One SPIFFE ID, or the beginning of some. */
  readonly spiffeId?: string | undefined;
  readonly spiffeIdPrefix?: string | undefined;
  readonly serial?: string | undefined;
  readonly entryId?: string | undefined;
  readonly kind?: IssuanceRecord['kind'] | undefined;
  /** Milliseconds since the epoch; from `since` on, before `until`. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly limit: number;
  /** The cursor of the previous page; undefined: start at the newest. */
  readonly cursor?: number | undefined;
}

export interface IssuancePage {
  /** Newest first. It may have fewer than the limit, even none, before the last page. */
  readonly records: readonly IssuanceRecord[];
  /** Undefined on the last page. */
  readonly nextCursor: number | undefined;
}

export interface IssuanceStore {
  /**
   * Durable when the promise resolves. One transaction, with a row of the audit for the certificates and for each group of
   * tokens: if it throws, none is recorded. @throws ERR_STORE
   */
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
  /** The newest issuances of a SPIFFE ID, or of all if none is given; newest first. @throws ERR_STORE */
  newest(query: { spiffeId?: string; limit: number }): Promise<IssuanceRecord[]>;
  /**
   * The issuances of certificates that have not ended, newest first. The time it takes grows with the number of all
   * unexpired certificates, not with that of all issuances.
   * @param now milliseconds since the epoch
   * @param limit maximum number; if there are more, those that end last
   * @throws ERR_STORE
   */
  unexpired(target: IssuanceTarget, now: number, limit: number): Promise<IssuanceRecord[]>;
  /**
   * Deletes records of tokens whose span is over, at most `limit` of them; first adds a row of the audit that says so. A
   * power cut may bring them back. The newest record of all stays.
   * @param now milliseconds since the epoch
   * @returns their number @throws ERR_STORE
   */
  pruneTokens(now: number, limit: number): Promise<number>;
  /** Looks through at most {@link SEARCHED} records, in slices, and goes on with the cursor. @throws ERR_STORE */
  search(query: IssuanceQuery): Promise<IssuancePage>;
  /** Those of these SPIFFE IDs of which an issuance is on record. @throws ERR_STORE */
  issuedOf(spiffeIds: readonly string[]): Promise<Set<string>>;
}
