/** Where the records of decisions are kept. */

import type { DecisionRecord } from '../decision.ts';

export interface DecisionQuery {
  readonly pid?: number;
  readonly spiffeId?: string;
  readonly reason?: string;
  readonly limit: number;
  /** What the page before returned; undefined: the newest. */
  readonly cursor?: number;
}

export interface DecisionPage {
  /** Newest first. */
  readonly decisions: readonly DecisionRecord[];
  /** Undefined on the last page. */
  readonly nextCursor: number | undefined;
}

/** One write: what is new or said anew, which holds have ended, and what nobody needs any more. */
export interface DecisionWrite {
  /** A record takes the place of the one with its id. */
  readonly put: readonly DecisionRecord[];
  readonly ended: readonly { readonly id: string; readonly at: number }[];
}

/** Where decisions are kept: surely over a restart, but a cut of the power may take the last ones. */
export interface DecisionStore {
  write(write: DecisionWrite): Promise<void>;
  /** Deletes all but the newest `keep`, and those from before `since` but for holds that go on. */
  prune(keep: number, since: number): Promise<void>;
  /** Deletes all but the newest `keep` of one owner. */
  pruneOwner(owner: string, keep: number): Promise<void>;
  /** Holds of a former process are over. */
  endAll(at: number): Promise<void>;
  get(id: string): Promise<DecisionRecord | undefined>;
  list(query: DecisionQuery): Promise<DecisionPage>;
}
