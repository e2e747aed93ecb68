/**
 * Limits the memory that the server keeps for callers: names, nodes, unfinished messages, unread answers. Each owner
 * has a budget, and all owners together have one; when the common one is exhausted, the largest calls of the largest
 * owner are ended.
 *
 * Charges are upper estimates; `npm run bench -- hostile` reports the resident memory under attack.
 */

import { getHeapStatistics } from 'node:v8';
import type { Counters } from '../telemetry/index.ts';
import { LimitError } from './limit-error.ts';
import type { Account, MemoryHolder, Owners } from './owner.ts';

export interface MemoryLimits {
  /** Maximum for one owner, in bytes. */
  readonly memoryPerOwner: number;
  /** Maximum for all owners together, in bytes. */
  readonly memory: number;
}

/** Minimum budget of one owner, in bytes; exceeds the charge of one request with the maximum number of names. */
const LEAST_OF_OWNER = 32 * 1024 * 1024;

/** Limits derived from Node's maximum heap size, which depends on the memory of the machine or container. */
export function memoryLimits(heapLimit = getHeapStatistics().heap_size_limit): MemoryLimits {
  const memory = Math.floor(heapLimit / 2);
  return { memoryPerOwner: Math.min(memory, Math.max(Math.floor(heapLimit / 8), LEAST_OF_OWNER)), memory };
}

export class MemoryBudget {
  readonly #limits: MemoryLimits;
  readonly #owners: Pick<Owners, 'accounts'>;
  readonly #counters: Counters;
  #heldBytes = 0;

  constructor(limits: MemoryLimits, owners: Pick<Owners, 'accounts'>, counters: Counters) {
    this.#limits = limits;
    this.#owners = owners;
    this.#counters = counters;
  }

  /** The bytes charged now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The most that may be charged, in bytes. */
  get limitBytes(): number {
    return this.#limits.memory;
  }

  /** Charges memory to the holder before it is used. @throws LimitError; then nothing is charged */
  hold(holder: MemoryHolder, bytes: number): void {
    for (const account of holder.owner.accounts) {
      const limit = this.#limits.memoryPerOwner * account.share;
      if (account.heldBytes + bytes <= limit) continue;
      this.#counters.add('memory_refused_total');
      this.#counters.limits.add('memoryPerUid');
      throw new LimitError(`${account.name} has reached its memory limit of ${limit} bytes (memoryPerUid)`);
    }
    this.#charge(holder, bytes);
    while (this.#heldBytes > this.#limits.memory) {
      const victim = this.#largest();
      // No call can be ended, or the charging call is the largest.
      if (victim === undefined || victim === holder) {
        this.release(holder, bytes);
        this.#counters.add('memory_refused_total');
        this.#counters.limits.add('memory');
        throw new LimitError(this.#reason(holder.owner.accounts[0]));
      }
      this.#counters.add('memory_shed_total');
      this.#counters.limits.add('memory');
      victim.shed(this.#reason(victim.owner.accounts[0]));
    }
  }

  /** Returns a part of the holder's charge. */
  release(holder: MemoryHolder, bytes: number): void {
    // A holder that was shed has returned its charge already.
    if (holder.owner.accounts[0].holders.has(holder)) this.#charge(holder, -bytes);
  }

  /** Returns the holder's whole charge. */
  releaseAll(holder: MemoryHolder): void {
    this.#charge(holder, -(holder.owner.accounts[0].holders.get(holder) ?? 0));
  }

  #charge(holder: MemoryHolder, bytes: number): void {
    this.#heldBytes += bytes;
    const held = (holder.owner.accounts[0].holders.get(holder) ?? 0) + bytes;
    for (const account of holder.owner.accounts) {
      account.heldBytes += bytes;
      if (held > 0) account.holders.set(holder, held);
      else account.holders.delete(holder);
    }
  }

  /** The largest call of the account (an owner, or all containers of a user) with the largest charge per share. */
  #largest(): MemoryHolder | undefined {
    let most: Account | undefined;
    let mostBytes = 0;
    for (const account of this.#owners.accounts()) {
      const bytes = account.heldBytes / account.share;
      if (bytes > mostBytes) [most, mostBytes] = [account, bytes];
    }
    let largest: MemoryHolder | undefined;
    let largestBytes = 0;
    for (const [holder, bytes] of most?.holders ?? []) {
      if (bytes <= largestBytes) continue;
      largest = holder;
      largestBytes = bytes;
    }
    return largest;
  }

  #reason(account: Account): string {
    const { memory } = this.#limits;
    return `all callers together have reached the memory limit of ${memory} bytes, and ${account.name} uses most`;
  }
}
