/** The record of issuances, which also tells of those that it has. */

import type { IssuanceRecord } from '../base/issuance.ts';
import { Listeners } from './listeners.ts';
import type { IssuanceLog } from './types.ts';

export class ToldIssuances implements IssuanceLog {
  readonly #log: IssuanceLog;
  readonly #listeners = new Listeners<readonly IssuanceRecord[]>();

  constructor(log: IssuanceLog) {
    this.#log = log;
  }

  async recordIssuances(records: readonly IssuanceRecord[]): Promise<void> {
    await this.#log.recordIssuances(records);
    this.#listeners.tell(records);
  }

  /** Told of what is on record now, before anybody has the SVIDs; a listener must not throw. Returns the way to stop. */
  onRecorded(listener: (records: readonly IssuanceRecord[]) => void): () => void {
    return this.#listeners.add(listener);
  }
}
