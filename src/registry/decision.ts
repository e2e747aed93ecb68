/** Records of refused and held requests. */

/**
 * `held`: a name waits; `refused`: the caller was refused; `fetch-nothing`: a fetch, which is never held, had no
 * result.
 */
export type DecisionKind = 'held' | 'refused' | 'fetch-nothing';

/** An entry that gives the requested identity, but not to this caller now. */
export interface Candidate {
  readonly entryId: string;
  /**
   * The selectors that the caller lacks, as `type:value`, without values of environment selectors. Empty: the entry has
   * expired, or is not for callers in containers.
   */
  readonly lacks: readonly string[];
}

/** Times in milliseconds since the epoch. */
export interface DecisionRecord {
  /** `d-` and 12 hex digits. */
  readonly id: string;
  readonly at: number;
  readonly kind: DecisionKind;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** As in the log: `pipe-7`. */
  readonly connection: string;
  /** The owner of the caller: `uid 1000`, or a container. */
  readonly owner: string;
  /** The node id that Envoy sent. */
  readonly node: string | undefined;
  /** The known facts of the caller, as `type:value`, without values of environment selectors. */
  readonly facts: readonly string[];
  /** Why the caller counted as in a container; undefined if it did not. */
  readonly contained?: string | undefined;
  /** The requested name; undefined if the caller was refused regardless of names. */
  readonly name: string | undefined;
  /** The SPIFFE ID of the name, if it has one. */
  readonly spiffeId: string | undefined;
  /** The reason of a hold, or an error code. */
  readonly reason: string;
  /** One line for display. */
  readonly detail: string;
  readonly candidates: readonly Candidate[];
  /** When the hold ended: the name was given, not requested any more, or held for another reason. */
  readonly endedAt: number | undefined;
}
