/** The database's file: made with its mode before SQLite writes to it, and refused where it is a link. */

import { accessSync, closeSync, constants, fchmodSync, fsyncSync, lstatSync, openSync } from 'node:fs';
import path from 'node:path';

/**
 * Makes the file with mode 0600, unless it exists. SQLite gives -wal and -shm the mode of their database.
 * @throws {Error} when it, or a file that SQLite keeps beside it, is a link or may not be read and written
 */
export function createPrivately(file: string): void {
  for (const name of [file, `${file}-wal`, `${file}-shm`, `${file}-journal`]) {
    const stats = lstatSync(name, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    // SQLite opens by name and follows links.
    if (!stats.isFile() || stats.nlink > 1) {
      throw new Error(`${name} is a link or not a regular file: move it away and restore it from a backup`);
    }
    // SQLite would open it all the same, and leave a log and an index behind that can't be written either.
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
