/** Records of what callers were refused, or have to wait for. */

/** `held`: a name waits; `refused`: the caller itself; `fetch-nothing`: a fetch, which can't wait, found nothing. */
export type DecisionKind = 'held' | 'refused' | 'fetch-nothing';

/** An entry that gives what was asked for, to somebody else or at another time. */
export interface Candidate {
  readonly entryId: string;
  /**
   * What the caller lacks, as `type:value`; values of environment selectors are left out. Empty: the entry has expired, or
   * is not for callers in containers.
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
  /** Who pays for the caller: `uid 1000`, or a container. */
  readonly owner: string;
  /** The node id that an Envoy calls itself by. */
  readonly node: string | undefined;
  /** What was known of the caller, as `type:value`; values of environment selectors are left out. */
  readonly facts: readonly string[];
  /** Why the caller counted as contained; undefined where it did not. */
  readonly contained?: string | undefined;
  /** What was asked for; undefined where the caller was refused whatever it asks for. */
  readonly name: string | undefined;
  /** The SPIFFE ID that the name stands for, if any. */
  readonly spiffeId: string | undefined;
  /** A reason to hold, or the error's code. */
  readonly reason: string;
  /** One line for people. */
  readonly detail: string;
  readonly candidates: readonly Candidate[];
  /** When a hold ended: the name was given, asked for no more, or held for another reason. */
  readonly endedAt: number | undefined;
}
