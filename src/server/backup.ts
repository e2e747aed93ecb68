/**
 * Backups of a running server. Database, authorities and token are of one moment: no write of the process lies between
 * them, so a backup is what a kill at that moment would have left, and a start continues from it.
 */

import { readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { AUTHORITIES, type BackupContents, DATABASE, MAX_DATABASE, TOKEN, writeBackup } from '../backup/index.ts';
import { type Clock, SidekeyError, version } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { Log } from '../telemetry/index.ts';

export interface BackupsOptions {
  readonly dataDir: string;
  readonly store: { snapshot(to: string, onFixed: () => void, signal: AbortSignal): Promise<void> };
  readonly ca: Pick<CertificateAuthority, 'snapshot' | 'trustDomain'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Snapshot extends BackupContents {
  readonly database: FileHandle;
  /** Ends the backup. */
  readonly signal: AbortSignal;
}

/** The copy of the database, which has no name any more when it is sent. A start removes one that a kill left. */
const COPY = 'backup.db';
/** Disk space that stays free beside the copy, in bytes: issuances are recorded there too. */
const SPARE = 64 * 1024 * 1024;
/** Longest time of one backup, in milliseconds, for readers that stop reading. */
const MOST_MS = 60 * 60_000;

/** One backup at a time. */
export class Backups {
  readonly #options: BackupsOptions;
  readonly #closing = new AbortController();
  #isRunning = false;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /**
   * Takes a snapshot. Returns the archive, in clear; its reader must read it to the end or `return` it.
   * @throws ERR_BACKUP_RUNNING; ERR_STORE if the database cannot be copied, is too large, or the disk has no space
   */
  async take(): Promise<AsyncGenerator<Buffer>> {
    if (this.#isRunning) {
      throw new SidekeyError('ERR_BACKUP_RUNNING', 'another backup is being made: repeat this when it has ended');
    }
    this.#isRunning = true;
    try {
      const archive = this.#ending(await this.#snapshot());
      // Enters the generator, since one that has not begun would not clean up.
      await archive.next();
      return archive;
    } catch (thrown) {
      this.#isRunning = false;
      throw thrown;
    }
  }

  /** Ends a running backup. */
  close(): void {
    this.#closing.abort(new SidekeyError('ERR_STORE', 'the server stops, and the backup is not complete'));
  }

  async #snapshot(): Promise<Snapshot> {
    const { dataDir, store, ca, clock, log } = this.#options;
    const copy = path.join(dataDir, COPY);
    checkSpace(path.join(dataDir, DATABASE));
    removeCopy(dataDir);
    const files = new Map<string, Buffer>();
    let createdAt = 0;
    const began = performance.now();
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(MOST_MS)]);
    await store.snapshot(
      copy,
      () => {
        createdAt = clock.now();
        for (const [name, bytes] of ca.snapshot()) files.set(`${AUTHORITIES}/${name}`, bytes);
        const token = readToken(path.join(dataDir, TOKEN));
        if (token !== undefined) files.set(TOKEN, token);
      },
      signal,
    );
    const database = await open(copy, 'r');
    removeCopy(dataDir);
    const { size } = await database.stat();
    log.info({ bytes: size, ms: Math.round(performance.now() - began) }, 'backup: the database was copied');
    return { signal, database, manifest: { sidekey: version(), trustDomain: ca.trustDomain, createdAt }, files };
  }

  async *#ending({ signal, ...contents }: Snapshot): AsyncGenerator<Buffer> {
    const { log } = this.#options;
    let isWhole = false;
    try {
      yield Buffer.alloc(0);
      for await (const piece of writeBackup(contents)) {
        signal.throwIfAborted();
        yield piece;
      }
      isWhole = true;
    } finally {
      this.#isRunning = false;
      await contents.database.close();
      if (isWhole) log.info('backup: sent');
      else log.warn('backup: its reader did not read it to the end');
    }
  }
}

/** Removes what a killed server left of a backup. */
export function removeCopy(dataDir: string): void {
  for (const end of ['', '-journal', '-wal', '-shm']) rmSync(path.join(dataDir, `${COPY}${end}`), { force: true });
}

/** @throws ERR_STORE if the copy would be too large, or would take space that the server needs */
function checkSpace(database: string): void {
  const size = statSync(database).size + (statSync(`${database}-wal`, { throwIfNoEntry: false })?.size ?? 0);
  if (size > MAX_DATABASE) {
    throw new SidekeyError('ERR_STORE', `${database} has ${size} bytes, and a backup holds up to ${MAX_DATABASE}`);
  }
  const { bavail, bsize } = statfsSync(path.dirname(database));
  if (size + SPARE > bavail * bsize) {
    throw new SidekeyError(
      'ERR_STORE',
      `a backup needs ${size} bytes for a copy of ${database} and ${SPARE} bytes that stay free, and its file system has ${bavail * bsize}: free some space, or move the data directory`,
    );
  }
}

function readToken(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}
