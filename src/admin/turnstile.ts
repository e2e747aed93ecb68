/** Lets at most a number of requests in at once; the others wait in their order. */

import { SidekeyError } from '../base/index.ts';

/** Requests of one sender that are inside or wait. */
const MOST_OF_ONE = 8;

export class Turnstile {
  readonly #bySender = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(most: number) {
    this.#free = most;
  }

  /**
   * @param sender whose requests are counted together; undefined: they are not counted
   * @returns a function that lets the next one in; further calls of it do nothing
   * @throws ERR_TOO_MANY_READERS if the sender has too many inside or waiting
   */
  async enter(sender?: string): Promise<() => void> {
    const own = sender === undefined ? 0 : (this.#bySender.get(sender) ?? 0);
    if (own >= MOST_OF_ONE) {
      throw new SidekeyError(
        'ERR_TOO_MANY_READERS',
        `${own} such requests of ${sender} run or wait already, which is the maximum: wait for one of them`,
      );
    }
    if (sender !== undefined) this.#bySender.set(sender, own + 1);
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      if (sender !== undefined) this.#left(sender);
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }

  #left(sender: string): void {
    const left = this.#bySender.get(sender)! - 1;
    if (left === 0) this.#bySender.delete(sender);
    else this.#bySender.set(sender, left);
  }
}
