/** Writes files atomically. */

import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Writes `bytes` to `file` with exactly `mode`. Readers see the old or the new content, never a part, even after a
 * power cut.
 * @param draft where it is written first. By the default each file may have one writer only, and what a killed one left
 *   is replaced
 */
export function writeFileAtomic(file: string, bytes: string | Uint8Array, mode = 0o600, draft = `${file}.new`): void {
  rmSync(draft, { force: true });
  try {
    // 'wx' does not follow a link planted at this name.
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
  syncToDisk(path.dirname(file));
}

/** Makes the content of a file, or the names in a directory, durable. */
export function syncToDisk(place: string): void {
  const fd = openSync(place, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
