/**
 * A budget for log lines that callers cause: a token bucket for each owner and one for all. An owner is the user or
 * container that causes the lines. Lines beyond the budget are left out and counted; every SUMMARY_MS the counts are
 * logged.
 *
 * The last part of the common bucket is a reserve. The emptier it is, the fewer recent lines an owner may have to use
 * it; the last tokens are for owners without recent lines. So loud owners do not silence quiet ones.
 */

import { type Clock, type Deadline, TokenBucket } from '../base/index.ts';

export interface LineBudgetLimits {
  /** Maximum burst of lines of one owner. */
  readonly burst: number;
  /** Maximum long-term rate of one owner's lines, per second. */
  readonly perSecond: number;
  /** The same for all owners together. */
  readonly totalBurst: number;
  readonly totalPerSecond: number;
  /** The part of `totalBurst` reserved for owners with few recent lines. */
  readonly reserve: number;
  /** Maximum number of remembered owners; the others share one bucket. */
  readonly owners: number;
}

export const LINE_BUDGET: LineBudgetLimits = {
  burst: 50,
  perSecond: 5,
  totalBurst: 1_000,
  totalPerSecond: 100,
  reserve: 250,
  owners: 1_000,
};

/** The interval of the summaries, in milliseconds. */
export const SUMMARY_MS = 10_000;
/** Maximum number of owners in a summary, those with the most lines; the others are added up. */
const NAMED = 20;
/** The shared bucket of owners that are not remembered. */
const OTHERS = 'other owners';

export interface LeftOut {
  readonly owner: string;
  readonly lines: number;
}

interface OwnerBudget {
  readonly lines: TokenBucket;
  leftOut: number;
}

export class LineBudget {
  readonly #clock: Clock;
  readonly #limits: LineBudgetLimits;
  readonly #tell: (leftOut: LeftOut) => void;
  readonly #owners = new Map<string, OwnerBudget>();
  readonly #total: TokenBucket;
  #summary: Deadline | undefined;
  #forgotAt = Number.NEGATIVE_INFINITY;

  /** @param tell logs one summary line for an owner; called at most 21 times per {@link SUMMARY_MS} */
  constructor(clock: Clock, tell: (leftOut: LeftOut) => void, limits: LineBudgetLimits = LINE_BUDGET) {
    this.#clock = clock;
    this.#limits = limits;
    this.#tell = tell;
    this.#total = new TokenBucket(limits.totalBurst);
  }

  /** True if the owner may log a line now; if not, the line is counted as left out. */
  mayLog(key: string): boolean {
    const { burst, perSecond, totalBurst, totalPerSecond, reserve } = this.#limits;
    const now = this.#clock.now();
    const owner = this.#ownerOf(key, now);
    const usedPart = 1 - owner.lines.left(burst, perSecond, now) / burst;
    const isLeft = this.#total.left(totalBurst, totalPerSecond, now) >= 1 + usedPart * reserve;
    // Taken even if the common bucket refuses the line, so that an owner whose lines are left out does not count as
    // quiet.
    if (owner.lines.take(burst, perSecond, now) && isLeft) return this.#total.take(totalBurst, totalPerSecond, now);
    owner.leftOut += 1;
    this.#summary ??= this.#clock.after(SUMMARY_MS, () => this.#summarize());
    return false;
  }

  #ownerOf(key: string, now: number): OwnerBudget {
    const known = this.#owners.get(key);
    if (known !== undefined) return known;
    if (this.#owners.size >= this.#limits.owners) {
      this.#forgetQuiet(now);
      if (this.#owners.size >= this.#limits.owners && key !== OTHERS) return this.#ownerOf(OTHERS, now);
    }
    const owner = { lines: new TokenBucket(this.#limits.burst), leftOut: 0 };
    this.#owners.set(key, owner);
    return owner;
  }

  /** Forgets owners with full buckets. It scans all owners, so it runs at most once a second. */
  #forgetQuiet(now: number): void {
    if (Math.abs(now - this.#forgotAt) < 1_000) return;
    this.#forgotAt = now;
    const { burst, perSecond } = this.#limits;
    for (const [key, owner] of this.#owners) {
      if (owner.leftOut === 0 && owner.lines.left(burst, perSecond, now) >= burst) this.#owners.delete(key);
    }
  }

  #summarize(): void {
    this.#summary = undefined;
    const loud: LeftOut[] = [];
    for (const [owner, bucket] of this.#owners) {
      if (bucket.leftOut > 0) loud.push({ owner, lines: bucket.leftOut });
      bucket.leftOut = 0;
    }
    loud.sort((a, b) => b.lines - a.lines);
    for (const leftOut of loud.slice(0, NAMED)) this.#tell(leftOut);
    const lines = loud.slice(NAMED).reduce((sum, one) => sum + one.lines, 0);
    if (lines > 0) this.#tell({ owner: `${loud.length - NAMED} other owners`, lines });
  }
}
