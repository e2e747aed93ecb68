/**
 * Shares the event loop's time among owners. Work of an owner runs at once as long as the owner has used little of the
 * current turn of the event loop. Beyond that it waits, and the owners with waiting work get one slice each per turn.
 * So an owner with much work delays another one by a few slices only. While others are active, an owner is also limited
 * to its long-term share (`loop-time.ts`); the time of the garbage collector and the kernel is not counted. An owner
 * that is alone may use all the time.
 *
 * All containers of one user, which may be imitations, take turns as one owner (`Account.group`): one member gets a slice
 * in each turn of the group.
 *
 * Work is not interrupted, so long work must be split.
 */

import { Fifo } from '../base/index.ts';
import type { Account } from './owner.ts';

/** Maximum time of an owner in one turn of the event loop, in milliseconds. */
const SLICE_MS = 2;
/**
 * Maximum time of an owner that is alone. It is longer because waiting and pausing cost throughput; it is also the longest
 * delay for the first caller of another owner.
 */
const SLICE_ALONE_MS = 250;
/** An owner is alone if no other one had work for this time, in milliseconds. Occasional callers count too. */
const ALONE_AFTER_MS = 5_000;
/** An owner is limited to its share for this time after the last work of another owner, in milliseconds. */
const SHARED_FOR_MS = 1_000;
/** Maximum time of all waiting work in one turn of the event loop, in milliseconds. */
const ALL_MS = 6;
/** Delay when all owners with waiting work have used up their shares, in milliseconds. */
const REST_MS = 1;

export class Turns {
  /** Accounts with waiting work of their own or of their members. */
  readonly #waiting = new Fifo<Account>();
  #scheduled = false;
  #deferred = 0;
  readonly #failed: (error: unknown) => void;
  /** The account that takes turns (see `topOf`) and whose time is being counted, and since when. */
  #running: Account | undefined;
  #since = 0;
  /** The account whose work ran last, and the time since which no other account's work has run. */
  #latest: Account | undefined;
  #changedAt = Number.NEGATIVE_INFINITY;

  /** @param failed called with the error if waiting work throws, which it must not do */
  constructor(failed: (error: unknown) => void = () => undefined) {
    this.#failed = failed;
  }

  /** The number of pieces of work that had to wait for their owner's next turn. */
  get deferred(): number {
    return this.#deferred;
  }

  /** True if the owner's work may run now: it has time left, and no work of it waits. */
  isOpen(account: Account): boolean {
    const top = topOf(account);
    if (account.waitingWork.length > 0 || !this.#hasShareLeft(top)) return false;
    const running = top === this.#running ? performance.now() - this.#since : 0;
    return top.time.usedInTurn + running < this.#slice(top);
  }

  /** Runs the work now or in the owner's next turn. The work must not throw. */
  run(account: Account, work: () => void): void {
    if (this.isOpen(account)) this.measure(account, work);
    else this.later(account, work);
  }

  /**
   * Runs the work now and counts its time until another owner's work begins or the turn ends, because promises and
   * socket reads continue after it.
   */
  measure(account: Account, work: () => void): void {
    this.#charge(topOf(account));
    work();
  }

  /** Runs the work in the owner's next turn. The work must not throw. */
  later(account: Account, work: () => void): void {
    this.#deferred += 1;
    account.waitingWork.push(work);
    if (account.inLine) return;
    account.inLine = true;
    const top = topOf(account);
    if (top.line.length === 0) this.#waiting.push(top);
    top.line.push(account);
    this.#schedule();
  }

  /** Resolves in the owner's next turn; splits long work. */
  next(account: Account): Promise<void> {
    return new Promise((resolve) => this.later(account, resolve));
  }

  /** True if no other owner's work has run for more than `ms` milliseconds. */
  #isAloneFor(top: Account, ms: number): boolean {
    return top === this.#latest && performance.now() - this.#changedAt > ms;
  }

  #slice(top: Account): number {
    return this.#isAloneFor(top, ALONE_AFTER_MS) ? SLICE_ALONE_MS : SLICE_MS;
  }

  #hasShareLeft(top: Account): boolean {
    return top.time.hasCredit(performance.now()) || this.#isAloneFor(top, SHARED_FOR_MS);
  }

  /** Charges the time since the last call to the account that ran, and starts counting for `next`. */
  #charge(next: Account | undefined): void {
    const now = performance.now();
    const running = this.#running;
    if (running !== undefined) {
      running.time.use(now - this.#since, !this.#isAloneFor(running, SHARED_FOR_MS), now);
    } else if (next !== undefined) setImmediate(() => this.#charge(undefined));
    this.#running = next;
    this.#since = now;
    next?.time.begin();
    if (next === undefined || next === this.#latest) return;
    if (this.#latest !== undefined) this.#changedAt = now;
    this.#latest = next;
  }

  #schedule(isToRest = false): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (isToRest) setTimeout(() => this.#drain(), REST_MS);
    else setImmediate(() => this.#drain());
  }

  /**
   * Serves one slice to each waiting owner that has some of its share left. Owners that are not reached come first in
   * the next turn.
   */
  #drain(): void {
    this.#scheduled = false;
    const end = performance.now() + ALL_MS;
    let isToRest = true;
    for (let left = this.#waiting.length; left > 0 && performance.now() < end; left -= 1) {
      const top = this.#waiting.shift()!;
      if (this.#hasShareLeft(top)) {
        isToRest = false;
        this.#serveMember(top);
      }
      if (top.line.length > 0) this.#waiting.push(top);
    }
    if (this.#waiting.length > 0) this.#schedule(isToRest);
  }

  /** Serves the member that has waited longest. */
  #serveMember(top: Account): void {
    const { line } = top;
    const account = line.first!;
    this.#serve(account, performance.now() + this.#slice(top));
    line.shift();
    account.inLine = account.waitingWork.length > 0;
    if (account.inLine) line.push(account);
  }

  #serve(account: Account, end: number): void {
    while (account.waitingWork.length > 0 && performance.now() < end) {
      try {
        this.measure(account, account.waitingWork.shift()!);
      } catch (error) {
        // The failure of one caller's work must not end the turns of others or the process.
        this.#failed(error);
      }
    }
  }
}

/** The account that takes turns for this one. */
function topOf(account: Account): Account {
  return account.group ?? account;
}
