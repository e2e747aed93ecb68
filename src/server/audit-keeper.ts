/** Prunes the audit, and logs its newest hash: whoever can write the database can compute a chain anew, but not the log. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Deadline } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';

export interface AuditKeeperParts {
  readonly store: AuditStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Seconds. */
  readonly auditKeep: number;
  /** Bytes. */
  readonly auditMaxSize: number;
}

const HOUR_MS = 3_600_000;
/** The first pruning comes this long after a start, in milliseconds. */
const FIRST_MS = 60_000;
/** Rows per transaction; one takes about a millisecond. */
const ROWS_AT_ONCE = 200;
/** The share of the maximum size that is left when it was exceeded: there is room for some time. */
const PRUNED_TO = 0.95;
/** Rest between transactions, in milliseconds. */
const REST_MS = 20;

export class AuditKeeper {
  readonly #parts: AuditKeeperParts;
  #hourly: Deadline;
  #pruning: Deadline;
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(parts: AuditKeeperParts) {
    this.#parts = parts;
    this.#hourly = this.#tellLater();
    this.#pruning = this.#pruneIn(FIRST_MS);
  }

  /** Logs the newest hash. Call it when nothing is recorded any more, and before the store is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#hourly.cancel();
    this.#pruning.cancel();
    await this.#working;
    await this.#tell('audit at stop');
  }

  #tellLater(): Deadline {
    return this.#parts.clock.after(HOUR_MS, () => {
      this.#hourly = this.#tellLater();
      void this.#tell('audit');
    });
  }

  async #tell(message: string): Promise<void> {
    const { store, log } = this.#parts;
    try {
      const { sequence, hash, bytes } = await store.head();
      log.info({ audit_sequence: sequence, audit_hash: hash, bytes }, message);
    } catch (err) {
      log.error({ err }, 'the audit could not be read');
    }
  }

  #pruneIn(delay: number): Deadline {
    return this.#parts.clock.after(delay, () => {
      this.#working = this.prune().finally(() => {
        if (!this.#closed) this.#pruning = this.#pruneIn(HOUR_MS);
      });
    });
  }

  /** Prunes by age and size. Never rejects: failures are logged. */
  async prune(): Promise<void> {
    const { store, clock, log, auditKeep, auditMaxSize } = this.#parts;
    try {
      // What a former process could not finish.
      await this.#delete();
      const now = clock.now();
      const isBeyond = (await store.head()).bytes > auditMaxSize;
      const maxBytes = isBeyond ? auditMaxSize * PRUNED_TO : auditMaxSize;
      const limits = { before: now - auditKeep * 1000, maxBytes, now };
      let to = await store.prunable(limits, ROWS_AT_ONCE);
      for (let next = to; next?.more === true && !this.#closed; to = next ?? to) {
        await sleep(REST_MS);
        next = await store.prunable(limits, ROWS_AT_ONCE, next);
      }
      if (to !== undefined && !this.#closed) {
        await store.markPruned(to, now);
        const { last, issuances } = to;
        log.info({ audit_sequence: last, issuances }, 'audit pruned: rows up to this one are removed');
        await this.#delete();
      }
      const { bytes } = await store.head();
      if (bytes <= auditMaxSize) return;
      const fields = { bytes, audit_max_size: auditMaxSize };
      log.warn(
        fields,
        'the audit is larger than auditMaxSize: the oldest issuances are of certificates that are valid',
      );
    } catch (err) {
      log.error({ err }, 'the audit could not be pruned');
    }
  }

  async #delete(): Promise<void> {
    while (!this.#closed && (await this.#parts.store.deletePruned(ROWS_AT_ONCE))) await sleep(REST_MS);
  }
}
