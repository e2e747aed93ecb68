/** The parts of a server, closed in the other order than they were opened in. */

import type { Log } from '../telemetry/log.ts';

export class Parts {
  readonly #stack = new AsyncDisposableStack();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Closes the part later, and gives it back. */
  own<T extends { close(): unknown }>(part: T): T {
    this.defer(() => part.close());
    return part;
  }

  /** One part that fails to close is no reason to leave the others open. */
  defer(close: () => unknown): void {
    this.#stack.defer(async () => {
      try {
        await close();
      } catch (err) {
        this.#log.error({ err }, 'a part could not be closed');
      }
    });
  }

  close(): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
