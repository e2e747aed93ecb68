/**
 * A bounded number of tasks at a time, of each user fewer, and of each owner fewer still: those that wait have their turns
 * one after the other, users first and then each user's owners, and one whose tasks never end does not keep all slots.
 *
 * An owner may be a container, and a user who may name cgroups can look like any number of containers: so the slots are
 * shared out among users, and what is a user's among that user's containers.
 */

import { Fifo } from '../base/fifo.ts';

/** For whom a task runs: an {@link Owner}, or a name that stands for one. */
export interface SlotOwner {
  readonly name: string;
  /** The last one is the user's. */
  readonly accounts: readonly { readonly name: string }[];
}

/** Whose tasks are those that the admin API asks for (explain), not a caller. */
export const NO_CALLER: SlotOwner = { name: 'the admin API', accounts: [] };

export interface SlotCounts {
  /** How many tasks run at a time. */
  readonly all: number;
  /** How many of them are for one user: for the user's own processes, or for all containers of that user. */
  readonly perUser: number;
  /** How many of those are for one owner. */
  readonly perOwner: number;
}

/** One user's tasks. */
interface User {
  running: number;
  /** What waits, by owner; the owner that has waited longest for a slot first. */
  readonly waiting: Map<string, Fifo<() => void>>;
}

export class FairSlots {
  readonly #counts: SlotCounts;
  #free: number;
  /** The user who has waited longest for a slot first. */
  readonly #users = new Map<string, User>();
  /** How many tasks of an owner run, for all users together: root in a container may be any number of users. */
  readonly #owners = new Map<string, number>();

  constructor(counts: SlotCounts) {
    this.#counts = counts;
    this.#free = counts.all;
  }

  /** Runs the task when its owner's turn has come; its result or error is the task's. */
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
    const left = this.#owners.get(owner)! - 1;
    if (left === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, left);
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
      // The user's other tasks come after everybody else's.
      this.#users.delete(name);
      this.#users.set(name, user);
      begin();
    }
  }

  /** Takes the user's next task out of its line; undefined where none may begin now. */
  #next(user: User): (() => void) | undefined {
    if (user.running >= this.#counts.perUser) return undefined;
    for (const [owner, line] of user.waiting) {
      const running = this.#owners.get(owner) ?? 0;
      if (running >= this.#counts.perOwner) continue;
      user.running += 1;
      this.#owners.set(owner, running + 1);
      user.waiting.delete(owner);
      const begin = line.shift()!;
      if (line.length > 0) user.waiting.set(owner, line);
      return begin;
    }
    return undefined;
  }
}
