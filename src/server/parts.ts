/** The open parts of a server, which are closed in reverse order. */

import type { Log } from '../telemetry/index.ts';

export class Parts {
  readonly #stack = new AsyncDisposableStack();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Registers the part to be closed, and returns it. */
  own<T extends { close(): unknown }>(part: T): T {
    this.defer(() => part.close());
    return part;
  }

  /** Registers a function that closes something. If one fails, the others still run. */
  defer(close: () => unknown): void {
    this.#stack.defer(async () => {
      try {
        await close();
      } catch (err) {
        this.#log.error({ err }, 'closing a part of the server failed');
      }
    });
  }

  close(): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
