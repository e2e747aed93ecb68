/**
 * Reloads on SIGHUP: reads the entries file and the admin token again, with the checks of a start. With --watch-entries
 * each change of the entries file reloads it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { AdminToken } from '../admin/index.ts';
import type { AuditEvent } from '../audit/index.ts';
import { type Clock, formatProblem, SidekeyError } from '../base/index.ts';
import type { ServeConfig } from '../config/index.ts';
import type { CertificateFiles } from '../https/index.ts';
import { type EntryRules, FILE_TOKEN_NAME, type Registry, type WarningsOf } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { readDeclared, takeEntries, warnOfDeclared } from './declared-entries.ts';
import type { FailedReloads, ReloadPart } from './failed-reloads.ts';
import { warnOfInputs } from './warnings.ts';

export interface ReloadParts {
  readonly config: ServeConfig;
  readonly entryRules: EntryRules;
  readonly warningsOf: WarningsOf;
  readonly registry: Registry;
  readonly token: AdminToken;
  readonly tokenChanged: () => Promise<void>;
  readonly failedReloads: FailedReloads;
  /** Adds a row to the audit. */
  readonly record: (event: AuditEvent) => Promise<void>;
  readonly clock: Clock;
  readonly tls: CertificateFiles | undefined;
  /** The certificate files of the bundle endpoint. */
  readonly endpointTls: CertificateFiles | undefined;
  readonly log: Log;
}

/** Reads the settings again; rejects with ERR_CONFIG if they are invalid now. */
export type ReadConfig = () => Promise<ServeConfig>;

/** How long {@link Reloader.close} waits for a running reload, in milliseconds: a file may be on a dead network. */
const CLOSE_MS = 1_000;

/** Runs one reload at a time. Requests during a reload cause one more reload after it. */
export class Reloader {
  readonly #parts: ReloadParts;
  #running: Promise<void> | undefined;
  #again: ReadConfig | 'entries' | undefined;
  #watch: { close(): void } | undefined;
  #closed = false;

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  /** Problems are logged, and then nothing changes. Resolves when this reload has ended. */
  async reload(readConfig: ReadConfig): Promise<void> {
    await this.#begin(readConfig);
  }

  /** Reloads the entries at each change of their file or folder. @param seen the version that the start has read */
  async watchEntries(file: string, seen: string): Promise<void> {
    const { watchInputs } = await import('../entries-file/index.ts');
    if (!this.#closed) this.#watch = watchInputs(file, seen, () => void this.#begin('entries'));
  }

  #begin(what: ReadConfig | 'entries'): Promise<void> {
    // A reload of everything includes the entries.
    if (what !== 'entries' || this.#again === undefined) this.#again = what;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Waits for a running reload, at most {@link CLOSE_MS}. A reload that is still reading its files then changes nothing. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    this.#again = undefined;
    const late = new AbortController();
    await Promise.race([this.#running, sleep(CLOSE_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
  }

  async #run(): Promise<void> {
    for (let next = this.#again; next !== undefined; next = this.#again) {
      this.#again = undefined;
      if (next !== 'entries') await this.#tellSettings(next);
      if (this.#closed) return;
      const { entries, adminListen } = this.#parts.config;
      if (entries !== undefined) await this.#reloadEntries(entries);
      if (next === 'entries') continue;
      // Only the listener on TCP uses the token.
      if (adminListen !== undefined) await this.#reloadToken();
      await this.#parts.tls?.reloadTelling(this.#parts.log);
      await this.#parts.endpointTls?.reloadTelling(this.#parts.log);
      if (entries === undefined && adminListen === undefined && this.#parts.endpointTls === undefined) {
        this.#parts.log.info('nothing to reload: there is no entries file (--entries)');
      }
    }
  }

  /** Warns of other changed settings, which only a restart applies. */
  async #tellSettings(readConfig: ReadConfig): Promise<void> {
    const { config, failedReloads, log } = this.#parts;
    try {
      const now = await readConfig();
      failedReloads.succeeded('settings');
      const keys = Object.keys(config) as (keyof ServeConfig)[];
      const changed = keys.filter((key) => !isDeepStrictEqual(config[key], now[key]));
      if (changed.length > 0) log.warn({ changed }, 'settings have changed: a restart applies them, a reload does not');
    } catch (thrown) {
      this.#keep('settings', thrown, 'the settings are invalid now, so a restart would fail');
    }
  }

  async #reloadToken(): Promise<void> {
    const { token, tokenChanged, failedReloads, record, clock, log } = this.#parts;
    try {
      const isChanged = await token.reload();
      failedReloads.succeeded('token');
      if (!isChanged) return;
    } catch (thrown) {
      this.#keep('token', thrown, 'the admin token was not reloaded: the former one stays valid');
      return;
    }
    log.info({ file: token.file }, 'the admin token has changed: requests on TCP need the new one');
    try {
      await tokenChanged();
      const by = { kind: 'file', path: token.file } as const;
      await record({ at: clock.now(), action: 'token.reloaded', by, target: FILE_TOKEN_NAME });
    } catch (err) {
      log.error({ err }, 'the change of the admin token is not in the audit');
    }
  }

  async #reloadEntries(file: string): Promise<void> {
    const { config, entryRules, warningsOf, registry, failedReloads, log } = this.#parts;
    try {
      const declared = await readDeclared(file, entryRules, true);
      if (this.#closed) return;
      warnOfInputs(config, log);
      await takeEntries(declared, registry, log);
      failedReloads.succeeded('entries');
      await warnOfDeclared(declared, warningsOf, registry, log);
    } catch (thrown) {
      this.#keep('entries', thrown, 'the entries file was not reloaded: all entries stay as they are');
    }
  }

  #keep(part: ReloadPart, thrown: unknown, message: string): void {
    const { failedReloads, log } = this.#parts;
    failedReloads.failed(part, thrown);
    const error = SidekeyError.from(thrown);
    const { problems } = error;
    if (problems.length === 0) log.error({ err: error }, message);
    else log.error({ problems: problems.map(formatProblem) }, message);
  }
}
