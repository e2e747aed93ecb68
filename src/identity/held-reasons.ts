/**
 * Reports that the reason for holding a name may have changed while the name stays held: an entry that gives its SPIFFE
 * ID to other callers was made, changed or deleted. Separate from the push of secrets, which does not wait for these
 * reports.
 */

import { type Clock, type Deadline, KeyedListeners } from '../base/index.ts';
import { type Entry, type EntryChange, templateOf } from '../registry/index.ts';
import { couldRender, type SpiffeId } from '../spiffe/index.ts';
import { isGrant } from './grant.ts';

/** Changes within this time are told together, so that a series of writes costs one look for each held name. */
const TOGETHER_MS = 250;

export class HeldReasons {
  readonly #clock: Clock;
  readonly #listeners = new KeyedListeners<SpiffeId>();
  readonly #changed = new Set<SpiffeId>();
  #timer: Deadline | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls the listener when the reason for holding this SPIFFE ID may have changed. @returns a function that removes it
   */
  watch(spiffeId: SpiffeId, listener: () => void): () => void {
    return this.#listeners.add(spiffeId, listener);
  }

  entriesChanged(changes: readonly EntryChange[]): void {
    for (const { before, after } of changes) {
      for (const entry of [before, after]) {
        if (entry === undefined) continue;
        if (isGrant(entry)) this.#note(entry.spiffeId);
        else this.#noteRendered(entry);
      }
    }
  }

  #noteRendered(entry: Entry): void {
    const template = templateOf(entry)!;
    for (const spiffeId of this.#listeners.keys()) if (couldRender(template, spiffeId)) this.#note(spiffeId);
  }

  close(): void {
    this.#timer?.cancel();
  }

  #note(spiffeId: SpiffeId): void {
    if (!this.#listeners.has(spiffeId)) return;
    this.#changed.add(spiffeId);
    this.#timer ??= this.#clock.after(TOGETHER_MS, () => this.#tell());
  }

  #tell(): void {
    this.#timer = undefined;
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const spiffeId of changed) for (const listener of [...this.#listeners.of(spiffeId)]) listener();
  }
}
