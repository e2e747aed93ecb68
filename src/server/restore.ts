/** `sidekey restore`: puts a backup into a data directory, after all checks; or only checks it. */

import { copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { AUTHORITIES, BackupError, DATABASE, type Manifest, readBackup, TOKEN } from '../backup/index.ts';
import { type Clock, SidekeyError, syncToDisk } from '../base/index.ts';
import {
  type LastAuthorities,
  lastAuthorities,
  type Passphrases,
  type RestoredAuthorities,
  restoreAuthorities,
} from '../ca/index.ts';
import { checkDatabase, openRegistry, openSqliteStore, trustDomainIn } from '../registry/index.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/index.ts';
import { createLog } from '../telemetry/index.ts';
import { openDataDir } from './data-dir.ts';
import { abandonRestore, beginRestore, decideRestore } from './finish-restore.ts';
import { PrivateFolder } from './private-folder.ts';

export interface BackupReading {
  /** The archive in clear. */
  readonly archive: AsyncIterable<Uint8Array>;
  /** The trust domain that the backup must have; undefined: any. */
  readonly trustDomain: string | undefined;
  readonly passphrases: Passphrases;
  /** IDs of authorities that count as tainted, or the beginnings of these. */
  readonly taint: readonly string[];
  readonly clock: Clock;
}

export interface RestoreRequest extends BackupReading {
  readonly dataDir: string;
  /** Whether an existing database and authorities may be replaced. */
  readonly replace: boolean;
}

export interface BackupReport extends RestoredAuthorities {
  readonly manifest: Manifest;
  readonly entries: number;
  /** IDs of authorities of the backup that the replaced directory says are tainted. */
  readonly knownTaints: readonly string[];
}

export interface RestoreReport extends BackupReport {
  /** Without symbolic links. */
  readonly dataDir: string;
  /** The folder with what was replaced; undefined if there was nothing. */
  readonly aside: string | undefined;
}

/** Files that a server or a restore leaves and makes anew. */
const IS_NO_DATA = /^(lock|admin\.sock|before-restore-.*)$/;

/** Unpacks a backup into a private folder, checks it, and removes the folder. @throws ERR_BACKUP, ERR_STORE, ERR_CA */
export async function checkBackup(reading: BackupReading): Promise<BackupReport> {
  const folder = new PrivateFolder('sidekey-backup-');
  try {
    return await unpack(reading, folder.path);
  } finally {
    folder.remove();
  }
}

/**
 * Restores a backup. Nothing in the data directory changes before all checks have passed.
 * @throws ERR_DATA_DIR_IN_USE if a server uses the directory; ERR_DATA_DIR if it is not empty, or cannot be used;
 * ERR_BACKUP, ERR_STORE, ERR_CA, ERR_NOT_FOUND if the backup cannot be used
 */
export async function restoreBackup(request: RestoreRequest): Promise<RestoreReport> {
  const directory = openDataDir(request.dataDir);
  const { path: dataDir } = directory;
  try {
    const present = readdirSync(dataDir).filter((name) => !IS_NO_DATA.test(name));
    if (present.length > 0 && !request.replace) {
      throw new SidekeyError(
        'ERR_DATA_DIR',
        `${dataDir} is not empty (${present.slice(0, 5).join(', ')}): give --replace, which moves what is there into a folder in it, or another --data-dir`,
      );
    }
    const folder = beginRestore(dataDir);
    try {
      const report = await unpack(request, folder, dataDir);
      const token = path.join(dataDir, TOKEN);
      // The present token is newer, and the one in the backup may have been replaced for a reason.
      if (existsSync(token)) copyFileSync(token, path.join(folder, TOKEN));
      const names = [AUTHORITIES, TOKEN, DATABASE, '.'].map((name) => path.join(folder, name));
      for (const name of names) if (existsSync(name)) syncToDisk(name);
      return { ...report, dataDir, aside: decideRestore(dataDir, request.clock.now()) };
    } finally {
      abandonRestore(dataDir);
    }
  } finally {
    directory.release();
  }
}

/**
 * @param folder an empty folder
 * @param replaced the data directory whose contents are replaced, if any
 */
async function unpack(reading: BackupReading, folder: string, replaced?: string): Promise<BackupReport> {
  const { archive, passphrases, taint, clock } = reading;
  try {
    const manifest = await readBackup(archive, folder);
    const trustDomain = parseTrustDomain(manifest.trustDomain);
    checkTrustDomain(trustDomain, reading, replaced);
    const last =
      replaced === undefined ? undefined : await lastAuthorities(path.join(replaced, AUTHORITIES), trustDomain);
    const database = path.join(folder, DATABASE);
    checkDatabase(database, trustDomain);
    const entries = await countEntries(database, trustDomain, clock);
    const terms = { ...passphrases, trustDomain, now: clock.now(), last, taint };
    const restored = await restoreAuthorities(path.join(folder, AUTHORITIES), terms);
    return { manifest, entries, ...restored, knownTaints: taintsKnown(restored, last) };
  } catch (thrown) {
    throw named(thrown, folder);
  }
}

/** Reads every entry, bundle and alias as a start does, which also migrates the database. @throws ERR_STORE */
async function countEntries(database: string, trustDomain: TrustDomain, clock: Clock): Promise<number> {
  const store = openSqliteStore({ path: database, trustDomain });
  try {
    const registry = await openRegistry({ store, trustDomain, clock, log: createLog('silent') });
    const { size } = registry;
    await registry.close();
    return size;
  } finally {
    await store.close();
    for (const end of ['-wal', '-shm', '-journal']) rmSync(`${database}${end}`, { force: true });
  }
}

/** @throws ERR_BACKUP if the backup is of another trust domain than the one that was named, or than what it replaces */
function checkTrustDomain(found: TrustDomain, { trustDomain }: BackupReading, replaced: string | undefined): void {
  if (trustDomain !== undefined && trustDomain !== found) {
    throw new SidekeyError('ERR_BACKUP', `the backup is of the trust domain ${found}, not ${trustDomain}`);
  }
  const present = replaced === undefined ? undefined : trustDomainIn(path.join(replaced, DATABASE));
  if (present === undefined || present === found) return;
  throw new SidekeyError(
    'ERR_BACKUP',
    `the backup is of the trust domain ${found}, and ${replaced} is of ${present}: give another --data-dir`,
  );
}

function taintsKnown({ authorities }: RestoredAuthorities, last: LastAuthorities | undefined): string[] {
  return authorities.map(({ id }) => id).filter((id) => last?.tainted.has(id));
}

/** The error about the backup, without the folder's path, which is gone when it is read. */
function named(thrown: unknown, folder: string): unknown {
  if (thrown instanceof BackupError) {
    return new SidekeyError('ERR_BACKUP', `the backup ${thrown.message}`, { cause: thrown });
  }
  if (!(thrown instanceof SidekeyError)) return thrown;
  const { code, message, problems } = thrown;
  const words = message.replaceAll(`${folder}/`, 'the backup: ').replaceAll(folder, 'the backup');
  return new SidekeyError(code, words, { cause: thrown, problems });
}
