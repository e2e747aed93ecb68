/** Files that are whole or not there at all. */

import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Puts `bytes` at `file` with exactly `mode`: whoever reads gets the old content or the new, never half of it, also
 * after a power cut. For one writer a file: the name it writes first is `<file>.new`.
 */
export function writeFileAtomic(file: string, bytes: string | Uint8Array, mode = 0o600): void {
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  try {
    // 'wx' follows no link that somebody may have put there.
    const fd = openSync(draft, 'wx', mode);
    try {
      fchmodSync(fd, mode);
      writeFileSync(fd, bytes);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, file);
  } catch (thrown) {
    rmSync(draft, { force: true });
    throw thrown;
  }
  syncDirectory(path.dirname(file));
}

/** Makes the names in a directory durable. */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
