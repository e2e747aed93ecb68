/** Lets at most a number of requests in at once; the others wait in their order. */

import { SidekeyError } from '../base/index.ts';
import { Slots } from '../limits/index.ts';

/** Requests of one sender that are inside or wait. */
const MOST_OF_ONE = 8;

export class Turnstile {
  readonly #bySender = new Map<string, number>();
  readonly #slots: Slots;

  constructor(most: number) {
    this.#slots = new Slots(most);
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
    const leave = await this.#slots.enter();
    if (sender === undefined) return leave;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#left(sender);
      leave();
    };
  }

  #left(sender: string): void {
    const left = this.#bySender.get(sender)! - 1;
    if (left === 0) this.#bySender.delete(sender);
    else this.#bySender.set(sender, left);
  }
}
