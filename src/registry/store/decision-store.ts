/** Stores decision records. */

import type { DecisionRecord } from '../decision.ts';

export interface DecisionQuery {
  readonly pid?: number;
  readonly spiffeId?: string;
  readonly reason?: string;
  /** A connection, of those from `since` on, in milliseconds since the epoch. */
  readonly connection?: { readonly id: string; readonly since: number };
  readonly limit: number;
  /** The cursor of the previous page; undefined: start at the newest. */
  readonly cursor?: number;
}

export interface DecisionPage {
  /** Newest first. */
  readonly decisions: readonly DecisionRecord[];
  /** Undefined on the last page. */
  readonly nextCursor: number | undefined;
}

/** One write: new or changed records, ended holds, and deletions. */
export interface DecisionWrite {
  /** A record replaces the one with the same id. */
  readonly put: readonly DecisionRecord[];
  readonly ended: readonly { readonly id: string; readonly at: number }[];
}

/** Stores decision records. They survive a restart, but a power cut may lose the last ones. */
export interface DecisionStore {
  write(write: DecisionWrite): Promise<void>;
  /** Deletes all but the newest `keep`, and those from before `since` except open holds. */
  prune(keep: number, since: number): Promise<void>;
  /** Deletes all but the newest `keep` of one owner. */
  pruneOwner(owner: string, keep: number): Promise<void>;
  /** Ends all open holds, which are those of a former process. */
  endAll(at: number): Promise<void>;
  get(id: string): Promise<DecisionRecord | undefined>;
  list(query: DecisionQuery): Promise<DecisionPage>;
}
