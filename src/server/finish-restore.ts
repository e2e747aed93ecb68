/**
 * The last step of a restore. A restore unpacks into `restoring`, checks, and then renames this folder to
 * `restored-<time>`: from that rename on it is decided. Moving the files into their places can be repeated, so after a
 * kill in the middle the next restore or start goes on.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { syncToDisk } from '../base/index.ts';

const RESTORING = 'restoring';
const RESTORED = /^restored-(\d{8}T\d{6}Z)$/;

/** The files and folders of a data directory that a restore replaces, with those that belong to them. */
const REPLACED: Readonly<Record<string, readonly string[]>> = {
  ca: [],
  'admin.token': [],
  'sidekey.db': ['sidekey.db-wal', 'sidekey.db-shm', 'sidekey.db-journal'],
};

/** An empty folder for the files of a backup. */
export function beginRestore(dataDir: string): string {
  const folder = path.join(dataDir, RESTORING);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

/** Removes the files of a restore that was not decided. */
export function abandonRestore(dataDir: string): void {
  rmSync(path.join(dataDir, RESTORING), { recursive: true, force: true });
}

/**
 * Decides the restore and moves the files into their places.
 * @param now milliseconds since the epoch
 * @returns the folder with what was there before; undefined if nothing was
 */
export function decideRestore(dataDir: string, now: number): string | undefined {
  for (let at = now; ; at += 1000) {
    const time = new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
    const [decided, aside] = [path.join(dataDir, `restored-${time}`), asideOf(dataDir, time)];
    if (existsSync(decided) || existsSync(aside)) continue;
    renameSync(path.join(dataDir, RESTORING), decided);
    syncToDisk(dataDir);
    finishRestore(dataDir);
    return existsSync(aside) ? aside : undefined;
  }
}

/** Goes on with a restore that was decided, and removes one that was not. The caller has locked the directory. */
export function finishRestore(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    const time = RESTORED.exec(name)?.[1];
    if (time !== undefined) moveIn(dataDir, path.join(dataDir, name), asideOf(dataDir, time));
  }
  abandonRestore(dataDir);
}

/** True if a restore was decided, but a kill or a fault kept it from its end. */
export function isRestoreOpen(dataDir: string): boolean {
  return readdirSync(dataDir).some((name) => RESTORED.test(name));
}

function asideOf(dataDir: string, time: string): string {
  return path.join(dataDir, `before-restore-${time}`);
}

/** A new file that is still in `from` has not been moved; what is in its place is the old one. */
function moveIn(dataDir: string, from: string, aside: string): void {
  for (const [name, companions] of Object.entries(REPLACED)) {
    const source = path.join(from, name);
    if (!existsSync(source)) continue;
    for (const old of [...companions, name]) {
      if (!existsSync(path.join(dataDir, old))) continue;
      if (!existsSync(aside)) mkdirSync(aside, { mode: 0o700 });
      renameSync(path.join(dataDir, old), path.join(aside, old));
    }
    // The old files must not come back beside the new one after a power cut.
    if (existsSync(aside)) syncToDisk(aside);
    syncToDisk(dataDir);
    renameSync(source, path.join(dataDir, name));
    syncToDisk(dataDir);
  }
  rmdirSync(from);
  syncToDisk(dataDir);
}
