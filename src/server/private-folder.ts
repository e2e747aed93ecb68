/** A folder for private copies, in the directory for temporary files. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Signals that end a command in the foreground. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Only its owner can open it (0700). It is removed even if one of these signals ends the process. */
export class PrivateFolder {
  readonly path: string;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.remove();
    // remove() has removed the listener, so the signal has its default effect now.
    process.kill(process.pid, signal);
  };
  readonly #onExit = (): void => this.remove();

  constructor(prefix: string) {
    // Listen before the folder exists, so that no signal can end the process and leave the folder.
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
    process.on('exit', this.#onExit);
    try {
      this.path = mkdtempSync(path.join(tmpdir(), prefix));
    } catch (thrown) {
      this.#unlisten();
      throw thrown;
    }
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
    // The listeners go last, so that they also handle a signal that comes during the removal.
    this.#unlisten();
  }

  #unlisten(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    process.off('exit', this.#onExit);
  }
}
