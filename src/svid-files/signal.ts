/** A signal to the process of a pid file, when the files change. */

import { constants } from 'node:os';
import { nearest } from '../base/index.ts';
import { signalByPidFile } from './pid-file.ts';
import type { Reaction } from './reaction.ts';

export class PidFileSignal implements Reaction {
  readonly what: string;
  readonly #file: string;
  readonly #signal: NodeJS.Signals;

  constructor(file: string, signal: NodeJS.Signals) {
    this.#file = file;
    this.#signal = signal;
    this.what = `${signal} to the process of ${file}`;
  }

  async react(): Promise<void> {
    signalByPidFile(this.#file, this.#signal);
  }

  async close(): Promise<void> {
    // Nothing is running.
  }
}

const MOST_SHOWN = 60;
const SIGNALS = Object.keys(constants.signals) as NodeJS.Signals[];

/** The signal that a text names, with or without SIG. @throws Error with the nearest name */
export function readSignal(text: string): NodeJS.Signals {
  const name = text.toUpperCase().startsWith('SIG') ? text.toUpperCase() : `SIG${text.toUpperCase()}`;
  const found = SIGNALS.find((one) => one === name);
  if (found !== undefined) return found;
  const near = nearest(name, SIGNALS);
  throw new Error(
    `${JSON.stringify(text.slice(0, MOST_SHOWN))} is not a signal${near === undefined ? '' : `, did you mean ${near}?`}`,
  );
}
