/**
 * The event loop's time, shared out in turns: what an owner's callers ask for is done at once while the owner has used
 * little of the current turn of the event loop. Beyond that it waits, and each owner with waiting work gets a slice in
 * each turn, one after the other. So an owner that asks for much delays another one by slices, not by all that it asks
 * for. While others call, it also has no more than its share in the long run (`loop-time.ts`), since the garbage
 * collector's and the kernel's work for it is not counted. An owner that is alone has all of the time.
 *
 * Work is not interrupted: work that may take long comes here in pieces.
 */

import { Fifo } from '../base/fifo.ts';
import type { Account } from './owner.ts';

/** How long an owner may keep the event loop before others have their turn, in milliseconds. */
const SLICE_MS = 2;
/**
 * The same of an owner that is alone: to wait, and to read from its connections anew, costs it about a sixth of what it
 * gets done. It is also what the first caller of another owner may wait for.
 */
const SLICE_ALONE_MS = 250;
/** An owner is alone when no other one had anything done for so long, in milliseconds: callers that come now and then count. */
const ALONE_AFTER_MS = 5_000;
/** How long after another owner's work an owner has no more than its share, in milliseconds. */
const SHARED_FOR_MS = 1_000;
/** How long all waiting work may keep the event loop from new events, in milliseconds. */
const ALL_MS = 6;
/** How long to wait where every owner with waiting work has used up its share, in milliseconds. */
const REST_MS = 1;

export class Turns {
  /** Accounts with work that waits. */
  readonly #waiting = new Fifo<Account>();
  #scheduled = false;
  readonly #failed: (error: unknown) => void;
  /** Whose time runs, and since when. */
  #running: Account | undefined;
  #since = 0;
  /** Whose work was done last, and since when nobody else's. */
  #latest: Account | undefined;
  #changedAt = Number.NEGATIVE_INFINITY;

  /** @param failed told of work that waited and then threw, which it must not */
  constructor(failed: (error: unknown) => void = () => undefined) {
    this.#failed = failed;
  }

  /** True if the owner's work may be done now: it has time left, and nothing of it waits. */
  isOpen(account: Account): boolean {
    if (account.waitingWork.length > 0 || !this.#hasShareLeft(account)) return false;
    const running = account === this.#running ? performance.now() - this.#since : 0;
    return account.time.usedInTurn + running < this.#slice(account);
  }

  /** Does the work now, or in the owner's next turn. It must not throw. */
  run(account: Account, work: () => void): void {
    if (this.isOpen(account)) this.measure(account, work);
    else this.later(account, work);
  }

  /**
   * Does the work now, and counts its time: until the work of another owner begins or the turn ends, since promises and
   * the reading of sockets go on after it.
   */
  measure(account: Account, work: () => void): void {
    this.#charge(account);
    work();
  }

  /** Does the work in the owner's next turn. It must not throw. */
  later(account: Account, work: () => void): void {
    account.waitingWork.push(work);
    if (account.inLine) return;
    account.inLine = true;
    this.#waiting.push(account);
    this.#schedule();
  }

  /** Resolves in the owner's next turn: for work that is cut into pieces. */
  next(account: Account): Promise<void> {
    return new Promise((resolve) => this.later(account, resolve));
  }

  /** True if no other owner had anything done for so long, in milliseconds. */
  #isAloneFor(account: Account, ms: number): boolean {
    return account === this.#latest && performance.now() - this.#changedAt > ms;
  }

  #slice(account: Account): number {
    return this.#isAloneFor(account, ALONE_AFTER_MS) ? SLICE_ALONE_MS : SLICE_MS;
  }

  #hasShareLeft(account: Account): boolean {
    return account.time.hasCredit(performance.now()) || this.#isAloneFor(account, SHARED_FOR_MS);
  }

  /** Charges the owner whose work was done last, and begins to count for this one. */
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

  /** One slice for each owner that waits and has some of its share left; owners that are not reached are first in the next turn. */
  #drain(): void {
    this.#scheduled = false;
    const end = performance.now() + ALL_MS;
    let isToRest = true;
    for (let left = this.#waiting.length; left > 0 && performance.now() < end; left -= 1) {
      const account = this.#waiting.shift()!;
      if (this.#hasShareLeft(account)) {
        isToRest = false;
        this.#serve(account);
      }
      account.inLine = account.waitingWork.length > 0;
      if (account.inLine) this.#waiting.push(account);
    }
    if (this.#waiting.length > 0) this.#schedule(isToRest);
  }

  #serve(account: Account): void {
    const end = performance.now() + this.#slice(account);
    while (account.waitingWork.length > 0 && performance.now() < end) {
      try {
        this.measure(account, account.waitingWork.shift()!);
      } catch (error) {
        // One caller's work that fails must end neither the turns of others nor the process.
        this.#failed(error);
      }
    }
  }
}
