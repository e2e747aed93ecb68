/**
 * The memory that callers make the server keep: names, nodes, unfinished messages, answers that wait to be read. It has
 * a budget for each owner, and one for all together; where that is used up, the owner that keeps most loses its
 * largest calls.
 *
 * The charges are estimates on the safe side: `npm run bench -- hostile` reports the resident memory under attack.
 */

import { getHeapStatistics } from 'node:v8';
import type { Counters } from '../telemetry/counters.ts';
import { LimitError } from './limit-error.ts';
import type { Account, Holder, Owners } from './owner.ts';

export interface MemoryLimits {
  /** Bytes that one owner may make the server keep. */
  readonly memoryPerOwner: number;
  /** Bytes that all owners together may make the server keep. */
  readonly memory: number;
}

/** In bytes: more than the charge of one request for the largest number of names. */
const LEAST_OF_OWNER = 32 * 1024 * 1024;

/** Shares of the largest heap that Node allows itself, which depends on the machine's or container's memory. */
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

  /** Bytes that are kept now, by the charges. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Charges what the holder is about to keep. @throws LimitError, and then nothing is charged */
  hold(holder: Holder, bytes: number): void {
    for (const account of holder.owner.accounts) {
      const limit = this.#limits.memoryPerOwner * account.share;
      if (account.heldBytes + bytes <= limit) continue;
      this.#counters.add('memory_refused_total');
      throw new LimitError(`${account.name} makes Sidekey keep ${limit} bytes, the most it may (memoryPerUid)`);
    }
    this.#charge(holder, bytes);
    while (this.#heldBytes > this.#limits.memory) {
      const victim = this.#largest();
      // No call is left to end, or the asking one is the largest.
      if (victim === undefined || victim === holder) {
        this.release(holder, bytes);
        this.#counters.add('memory_refused_total');
        throw new LimitError(this.#reason(holder.owner.accounts[0]));
      }
      this.#counters.add('memory_shed_total');
      victim.shed(this.#reason(victim.owner.accounts[0]));
    }
  }

  /** Gives back a part of what the holder was charged. */
  release(holder: Holder, bytes: number): void {
    // A holder that was shed has given everything back.
    if (holder.owner.accounts[0].holders.has(holder)) this.#charge(holder, -bytes);
  }

  /** Gives back all that the holder was charged. */
  releaseAll(holder: Holder): void {
    this.#charge(holder, -(holder.owner.accounts[0].holders.get(holder) ?? 0));
  }

  #charge(holder: Holder, bytes: number): void {
    this.#heldBytes += bytes;
    const held = (holder.owner.accounts[0].holders.get(holder) ?? 0) + bytes;
    for (const account of holder.owner.accounts) {
      account.heldBytes += bytes;
      if (held > 0) account.holders.set(holder, held);
      else account.holders.delete(holder);
    }
  }

  /** The largest call of the owner that keeps most. */
  #largest(): Holder | undefined {
    let most: Account | undefined;
    for (const account of this.#owners.accounts()) {
      if (account.share === 1 && account.heldBytes > (most?.heldBytes ?? 0)) most = account;
    }
    let largest: Holder | undefined;
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
    return `all callers together make Sidekey keep ${memory} bytes, the most they may, and ${account.name} has the largest part`;
  }
}
