/** The record of issuances, which also tells of those that it has. */

import type { IssuanceRecord } from '../base/issuance.ts';
import { Listeners } from '../base/listeners.ts';
import type { Log } from '../telemetry/log.ts';
import type { IssuanceLog } from './types.ts';

export class ToldIssuances implements IssuanceLog {
  readonly #log: IssuanceLog;
  readonly #listeners: Listeners<readonly IssuanceRecord[]>;

  /** @param diagnostics where it is logged that a listener fails */
  constructor(log: IssuanceLog, diagnostics: Log) {
    this.#log = log;
    this.#listeners = new Listeners((err) => diagnostics.error({ err }, 'a listener of issuances failed'));
  }

  async recordIssuances(records: readonly IssuanceRecord[]): Promise<void> {
    await this.#log.recordIssuances(records);
    this.#listeners.tell(records);
  }

  /** Told of what is on record now, before anybody has the SVIDs. Returns the way to stop. */
  onRecorded(listener: (records: readonly IssuanceRecord[]) => void): () => void {
    return this.#listeners.add(listener);
  }
}
