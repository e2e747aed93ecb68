/**
 * A bounded number of tasks at a time, and of each owner fewer: owners that wait have their turns one after the other, and
 * one whose tasks never end does not keep all slots.
 */

import { Fifo } from '../base/fifo.ts';

export class FairSlots {
  readonly #perOwner: number;
  #free: number;
  /** How many tasks of an owner run. */
  readonly #running = new Map<string, number>();
  /** What waits, by owner; the owner that has waited longest for a slot first. */
  readonly #waiting = new Map<string, Fifo<() => void>>();

  /**
   * @param slots how many tasks run at a time
   * @param perOwner how many of them are one owner's
   */
  constructor(slots: number, perOwner: number) {
    this.#free = slots;
    this.#perOwner = perOwner;
  }

  /** Runs the task when its owner's turn has come; its result or error is the task's. */
  async run<T>(owner: string, task: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#wait(owner, resolve);
      this.#begin();
    });
    try {
      return await task();
    } finally {
      const left = this.#running.get(owner)! - 1;
      if (left === 0) this.#running.delete(owner);
      else this.#running.set(owner, left);
      this.#free += 1;
      this.#begin();
    }
  }

  #wait(owner: string, begin: () => void): void {
    const line = this.#waiting.get(owner) ?? new Fifo<() => void>();
    line.push(begin);
    this.#waiting.set(owner, line);
  }

  #begin(): void {
    for (const [owner, line] of this.#waiting) {
      if (this.#free === 0) return;
      const running = this.#running.get(owner) ?? 0;
      if (running >= this.#perOwner) continue;
      this.#free -= 1;
      this.#running.set(owner, running + 1);
      this.#waiting.delete(owner);
      const begin = line.shift()!;
      // Its other tasks come after everybody else's.
      if (line.length > 0) this.#waiting.set(owner, line);
      begin();
    }
  }
}
