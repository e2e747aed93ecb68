/** A record of issuances with listeners. */

import { type IssuanceRecord, Listeners } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { IssuanceLog } from './types.ts';

export class ToldIssuances implements IssuanceLog {
  readonly #log: IssuanceLog;
  readonly #listeners: Listeners<readonly IssuanceRecord[]>;

  /** @param diagnostics the log for failures of listeners */
  constructor(log: IssuanceLog, diagnostics: Log) {
    this.#log = log;
    this.#listeners = new Listeners((err) => diagnostics.error({ err }, 'issuance listener failed'));
  }

  async recordIssuances(records: readonly IssuanceRecord[]): Promise<void> {
    await this.#log.recordIssuances(records);
    this.#listeners.tell(records);
  }

  /**
   * Calls the listener after a record is durable and before its SVIDs are handed out. Returns a function that stops it.
   */
  onRecorded(listener: (records: readonly IssuanceRecord[]) => void): () => void {
    return this.#listeners.add(listener);
  }
}
