/** The database file: created with its mode before SQLite writes to it, and refused if it is a link. */

import { accessSync, closeSync, constants, fchmodSync, fsyncSync, lstatSync, openSync } from 'node:fs';
import path from 'node:path';

/**
 * Creates the file with mode 0600, unless it exists. SQLite gives -wal and -shm the same mode.
 * @throws {Error} if one of these files is a link, or not readable and writable
 */
export function createPrivately(file: string): void {
  for (const name of [file, `${file}-wal`, `${file}-shm`, `${file}-journal`]) {
    const stats = lstatSync(name, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    // SQLite opens files by name and follows links.
    if (!stats.isFile() || stats.nlink > 1) {
      throw new Error(`${name} is a link or not a regular file: move it away and restore it from a backup`);
    }
    // SQLite would open an unwritable database and leave -wal and -shm files that are not writable either.
    accessSync(name, constants.R_OK | constants.W_OK);
  }
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    const fd = openSync(file, flags, 0o600);
    fchmodSync(fd, 0o600);
    closeSync(fd);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw thrown;
  }
  const directory = openSync(path.dirname(file), constants.O_RDONLY);
  fsyncSync(directory);
  closeSync(directory);
}
