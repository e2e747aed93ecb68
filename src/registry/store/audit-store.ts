/** Stores the audit: rows in a chain of hashes, which are added and, from the oldest on, pruned; never changed. */

import type { AuditEvent } from '../../audit/index.ts';
import type { IssuanceRecord } from '../../base/index.ts';

/** A row as it is stored. */
export interface AuditRow {
  readonly sequence: number;
  /** JSON, see `audit/chain.ts`. */
  readonly record: string;
  /** 64 hex digits. */
  readonly hash: string;
}

export interface AuditHead {
  /** The newest row and its hash. */
  readonly sequence: number;
  readonly hash: string;
  /** The row before the oldest one that is kept, and its hash; 0: the chain is complete. */
  readonly after: { readonly sequence: number; readonly hash: string };
  /** About how many bytes the rows and the issuances take. */
  readonly bytes: number;
}

export interface AppendOptions {
  /** The revision of the authorities' states with which these events end. */
  readonly authorityRevision?: number | undefined;
}

/** What may be pruned. */
export interface AuditLimits {
  /** Milliseconds since the epoch. Older rows are pruned, and issuances whose certificates ended before. */
  readonly before: number;
  readonly maxBytes: number;
  /** Issuances with certificates that end later are never pruned. */
  readonly now: number;
}

/** An issuance and its number. */
export interface NumberedIssuance {
  readonly number: number;
  readonly record: IssuanceRecord;
}

export interface AuditStore {
  /** Durable when the promise resolves. One transaction. @throws ERR_STORE */
  append(events: readonly AuditEvent[], options?: AppendOptions): Promise<void>;
  /** @throws ERR_STORE */
  head(): Promise<AuditHead>;
  /**
   * Rows by sequence number: with `after` the ones that follow it, oldest first; with `before` those that precede it,
   * newest first. Pruned rows are left out. @throws ERR_STORE
   */
  rows(
    query: { readonly limit: number } & ({ readonly after: number } | { readonly before: number }),
  ): Promise<AuditRow[]>;
  /** The issuances with these numbers, in order. @throws ERR_STORE */
  issuances(first: number, last: number): Promise<NumberedIssuance[]>;
  /** The newest revision of the authorities' states that was given to `append`; 0: none. @throws ERR_STORE */
  authorityRevision(): Promise<number>;
  /**
   * Looks at the oldest rows after `from`, at most `limit`.
   * @param from the result of the previous call
   * @returns how far the rows may be pruned, and whether there may be more; undefined: none of them may be
   * @throws ERR_STORE
   */
  prunable(limits: AuditLimits, limit: number, from?: Prunable): Promise<Prunable | undefined>;
  /** Records that the rows are pruned. From then on they do not count. @throws ERR_STORE */
  markPruned(to: Prunable, at: number): Promise<void>;
  /** Deletes marked rows and issuances, at most `limit` each. @returns true if more are left @throws ERR_STORE */
  deletePruned(limit: number): Promise<boolean>;
}

/** A position up to which rows and issuances may be pruned. */
export interface Prunable {
  readonly last: number;
  readonly issuances: number;
  /** Whether the limit ended the search. */
  readonly more: boolean;
}
