/**
 * Limits the number of tasks that run at a time: in total, per user (fewer), and per owner (fewer still). Waiting users
 * take turns, and so do the owners of each user. So an owner whose tasks never end cannot occupy all slots.
 *
 * The limit per user is needed because an owner may be a container, and a user who may create cgroups can imitate any
 * number of containers.
 */

import { Fifo } from '../base/index.ts';

/** The owner of a task: an {@link Owner}, or an object of the same shape. */
export interface SlotOwner {
  readonly name: string;
  /** The last account is the user's. */
  readonly accounts: readonly { readonly name: string }[];
}

/** The owner of tasks that the admin API requests (explain) without a caller. */
export const NO_CALLER: SlotOwner = { name: 'the admin API', accounts: [] };

export interface SlotCounts {
  /** Maximum number of running tasks. */
  readonly all: number;
  /** Maximum per user: for the user's own processes together, and for all containers of the user together. */
  readonly perUser: number;
  /** Maximum per owner, for all users of its processes together. */
  readonly perOwner: number;
}

/** The tasks of one user. */
interface User {
  running: number;
  /** Waiting tasks by owner; the owner that has waited longest comes first. */
  readonly waiting: Map<string, Fifo<() => void>>;
}

export class FairSlots {
  readonly #counts: SlotCounts;
  #free: number;
  /** Running tasks by owner, for all users together: root in one container can be any user. */
  readonly #running = new Map<string, number>();
  /** The user that has waited longest comes first. */
  readonly #users = new Map<string, User>();

  constructor(counts: SlotCounts) {
    this.#counts = counts;
    this.#free = counts.all;
  }

  /** Runs the task when its owner's turn has come. Returns the task's result or throws its error. */
  async run<T>({ name, accounts }: SlotOwner, task: () => Promise<T>): Promise<T> {
    const userName = accounts.at(-1)?.name ?? name;
    await new Promise<void>((resolve) => {
      this.#wait(userName, name, resolve);
      this.#begin();
    });
    try {
      return await task();
    } finally {
      this.#end(userName, name);
      this.#begin();
    }
  }

  #wait(userName: string, owner: string, begin: () => void): void {
    let user = this.#users.get(userName);
    if (user === undefined) {
      user = { running: 0, waiting: new Map() };
      this.#users.set(userName, user);
    }
    const line = user.waiting.get(owner) ?? new Fifo<() => void>();
    line.push(begin);
    user.waiting.set(owner, line);
  }

  #end(userName: string, owner: string): void {
    const user = this.#users.get(userName)!;
    const left = this.#running.get(owner)! - 1;
    if (left === 0) this.#running.delete(owner);
    else this.#running.set(owner, left);
    user.running -= 1;
    this.#free += 1;
    if (user.running === 0 && user.waiting.size === 0) this.#users.delete(userName);
  }

  #begin(): void {
    for (const [name, user] of this.#users) {
      if (this.#free === 0) return;
      const begin = this.#next(user);
      if (begin === undefined) continue;
      this.#free -= 1;
      // The user's other tasks come after those of all other users.
      this.#users.delete(name);
      this.#users.set(name, user);
      begin();
    }
  }

  /** Takes the user's next task from its queue; undefined if none may start now. */
  #next(user: User): (() => void) | undefined {
    if (user.running >= this.#counts.perUser) return undefined;
    for (const [owner, line] of user.waiting) {
      const running = this.#running.get(owner) ?? 0;
      if (running >= this.#counts.perOwner) continue;
      user.running += 1;
      this.#running.set(owner, running + 1);
      user.waiting.delete(owner);
      const begin = line.shift()!;
      if (line.length > 0) user.waiting.set(owner, line);
      return begin;
    }
    return undefined;
  }
}
